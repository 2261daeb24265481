"""What an evaluation compares, drawn from its datasets."""

from neuronedit.adapters.parquet import EventDataset, list_dataset
from neuronedit.adapters.populations import DrawnPopulations, draw_populations
from neuronedit.design import ALL_EVENTS, Choice, describe
from neuronedit.errors import DataError
from neuronedit.evaluation import Sample
from neuronedit.job_configs import EvaluateConfig, EventsConfig
from neuronedit.panel import Panel
from neuronedit.scaling import to_arcsinh


def list_datasets(config: EvaluateConfig) -> dict[str, EventDataset]:
    """The datasets by what they stand for: edited, truth and, where it is given, unedited.

    Raises:
        DataError: A dataset is not there, damaged or empty.
    """
    return {name: list_dataset(chosen.path, f"{name}.path") for name, chosen in _choices(config).items()}


def draw_samples(datasets: dict[str, EventDataset], panel: Panel, config: EvaluateConfig) -> dict[str, Sample]:
    """A seeded sample of each dataset's chosen events and, where a column names populations, of each of these.

    Raises:
        PanelError: A marker is missing in a file.
        DataError: A column is missing, too few events are chosen, or no event has a population.
    """
    return {name: _draw(name, datasets[name], chosen, panel, config) for name, chosen in _choices(config).items()}


def _choices(config: EvaluateConfig) -> dict[str, EventsConfig]:
    choices = {"edited": config.edited, "truth": config.truth}
    return choices | {"unedited": config.unedited} if config.unedited else choices


def _draw(name: str, dataset: EventDataset, chosen: EventsConfig, panel: Panel, config: EvaluateConfig) -> Sample:
    drawn = draw_populations(dataset, panel, Choice(chosen.where), config.sample)
    if not drawn.counts:
        raise DataError(
            f"{name}: no event of {dataset.uri} has {describe(chosen.where)}. Correct {name}.where or {name}.path."
        )
    events = to_arcsinh(drawn.intensities[ALL_EVENTS], panel.cofactors)
    if config.population_column is None:
        return Sample(name, events)
    # A pass of its own: a sample of equal counts per population would not be one of the whole dataset.
    split = draw_populations(dataset, panel, Choice(chosen.where, config.population_column), config.sample)
    _check_split(name, split, dataset, config.population_column)
    populations = {value: to_arcsinh(cells, panel.cofactors) for value, cells in split.intensities.items()}
    return Sample(name, events, populations, split.counts)


def _check_split(name: str, split: DrawnPopulations, dataset: EventDataset, column: str) -> None:
    if not split.counts:
        raise DataError(
            f"{name}: no chosen event of {dataset.uri} has a value in the column {column!r}. "
            "Fill the column, or leave population_column out."
        )
