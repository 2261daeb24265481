"""The events of an update: those of new batches, and those that the model was trained on, drawn again."""

from collections.abc import Sequence

from neuronedit.adapters.files.dataset import EventDataset, list_dataset
from neuronedit.adapters.sampling.populations import draw_populations
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.errors import DataError, NeuroneditError, listing
from neuronedit.fitting.record import TrainingRecord, intensities_digest
from neuronedit.fitting.update import check_controls_design, new_populations
from neuronedit.model.edit_model import EditModel

_REMEDY = "Restore them, name their new place in parent_data, or train a new model."


def draw_update(
    parent: EditModel, name: str, dataset: EventDataset, moved: Sequence[str]
) -> tuple[DrawnPopulations, DrawnPopulations]:
    """Draw the populations that a model was trained on, and those of a dataset's batches that it does not know.

    Args:
        parent: The model.
        name: The model's name, for messages.
        dataset: The dataset of the new batches' controls.
        moved: Datasets with the events that it was trained on, if these have moved.

    Returns:
        The old populations, and the new ones.

    Raises:
        ModelError: The model has no controls design, or does not tell how it was trained.
        DataError: There is no new batch, or the old events are not where they were.
    """
    design = check_controls_design(parent, name)
    record = TrainingRecord.from_facts(parent.facts, name)
    arriving = draw_populations(dataset, parent.panel, design, record.sample, record.edit.label_columns)
    new = arriving.select(new_populations(arriving.counts, record, design, dataset.uri))
    return draw_past(parent, record, moved), new


def draw_past(model: EditModel, record: TrainingRecord, moved: Sequence[str]) -> DrawnPopulations:
    """Draw the very events again that a model was trained on; files added since then do no harm.

    Args:
        model: Its panel and design determine the markers and populations.
        record: The populations with their datasets and digests.
        moved: The datasets to look in, in place of the recorded ones.

    Raises:
        DataError: A dataset cannot be read, or a population is not there as it was.
        PanelError: A marker is missing in a file.
    """
    wanted, found = record.populations, DrawnPopulations({}, {})
    for uri in moved or dict.fromkeys(population.data for population in wanted.values()):
        try:
            dataset = list_dataset(uri, "parent_data")
            drawn = draw_populations(dataset, model.panel, model.design, record.sample, record.edit.label_columns)
        except NeuroneditError as error:
            raise DataError(
                f"The events that the model was trained on cannot be drawn again. {error} {_REMEDY}"
            ) from error
        same = [
            name
            for name, events in drawn.intensities.items()
            if name in wanted and intensities_digest(events) == wanted[name].sha256
        ]
        found = found.merge(drawn.select(same))
    missing = [name for name in wanted if name not in found.intensities]
    if missing:
        places = moved or sorted({wanted[name].data for name in missing})
        raise DataError(
            f"Of {len(wanted)} populations that the model was trained on, {listing(missing)} are not in "
            f"{listing(places)} as they were then (SHA-256 of the events drawn); expected the same events. {_REMEDY}"
        )
    return found.select(wanted)
