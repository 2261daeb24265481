"""What an evaluation compares, drawn from its datasets."""

from collections.abc import Mapping

from neuronedit.adapters.parquet import EventDataset, EventsConfig, list_dataset
from neuronedit.adapters.populations import draw_populations
from neuronedit.design import ALL_EVENTS, Choice, Where, describe
from neuronedit.draw import DrawnPopulations, SampleConfig
from neuronedit.errors import DataError
from neuronedit.evaluation import Sample
from neuronedit.panel import Panel
from neuronedit.scaling import to_arcsinh


def list_datasets(events: Mapping[str, EventsConfig]) -> dict[str, EventDataset]:
    """The datasets by what they stand for.

    Raises:
        DataError: A dataset is not there, damaged or empty.
    """
    return {name: list_dataset(of.path, f"{name}.path") for name, of in events.items()}


def draw_sample(
    name: str,
    dataset: EventDataset,
    where: Where,
    panel: Panel,
    sample: SampleConfig,
    population_column: str | None = None,
) -> Sample:
    """A seeded sample of a dataset's chosen events and, where a column names populations, of each of these.

    Args:
        name: What the events stand for.
        dataset: Where they are.
        where: The column values of those that are chosen.
        panel: The markers.
        sample: How many, by which seed.
        population_column: Names cell populations.

    Raises:
        PanelError: A marker is missing in a file.
        DataError: A column is missing, too few events are chosen, or no event has a population.
    """
    drawn = draw_populations(dataset, panel, Choice(where), sample)
    if not drawn.counts:
        raise DataError(
            f"{name}: no event of {dataset.uri} has {describe(where)}. Correct {name}.where or {name}.path."
        )
    events = to_arcsinh(drawn.intensities[ALL_EVENTS], panel.cofactors)
    if population_column is None:
        return Sample(name, events)
    # A pass of its own: a sample of equal counts per population would not be one of the whole dataset.
    split = draw_populations(dataset, panel, Choice(where, population_column), sample)
    _check_split(name, split, dataset, population_column)
    populations = {value: to_arcsinh(cells, panel.cofactors) for value, cells in split.intensities.items()}
    return Sample(name, events, populations, split.counts)


def _check_split(name: str, split: DrawnPopulations, dataset: EventDataset, column: str) -> None:
    if not split.counts:
        raise DataError(
            f"{name}: no chosen event of {dataset.uri} has a value in the column {column!r}. "
            "Fill the column, or leave population_column out."
        )
