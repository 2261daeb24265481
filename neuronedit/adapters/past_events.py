"""The events that a model was trained on, drawn again from where they were."""

from collections.abc import Collection, Sequence
from dataclasses import fields, replace

from neuronedit.adapters.parquet import list_dataset
from neuronedit.adapters.populations import DrawnPopulations, draw_populations
from neuronedit.errors import DataError, NeuroneditError, listing
from neuronedit.model import EditModel
from neuronedit.training_record import TrainingRecord, intensities_digest


def draw_past(model: EditModel, record: TrainingRecord, moved: Sequence[str]) -> DrawnPopulations:
    """Draw the very events again that a model was trained on; files that have come since do no harm.

    Args:
        model: Its panel and design say what is drawn.
        record: The populations, where they were, and the digests of what was drawn.
        moved: The datasets to look in, in place of those where they were.

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
        found = joined(found, chosen(drawn, same))
    missing = [name for name in wanted if name not in found.intensities]
    if missing:
        places = moved or sorted({wanted[name].data for name in missing})
        raise DataError(
            f"Of {len(wanted)} populations that the model was trained on, {listing(missing)} are not in "
            f"{listing(places)} as they were then (SHA-256 of the events drawn); expected the same events. {_REMEDY}"
        )
    return chosen(found, wanted)


def chosen(drawn: DrawnPopulations, names: Collection[str]) -> DrawnPopulations:
    """Some of the populations, in the order of their names."""
    kept = {
        of.name: {name: part for name, part in getattr(drawn, of.name).items() if name in names} for of in fields(drawn)
    }
    return replace(drawn, **kept)


def joined(drawn: DrawnPopulations, others: DrawnPopulations) -> DrawnPopulations:
    """Populations of two datasets, in the order of their names; of two of one name the first stays."""
    both = {of.name: getattr(others, of.name) | getattr(drawn, of.name) for of in fields(drawn)}
    return replace(drawn, **{name: dict(sorted(parts.items())) for name, parts in both.items()})


_REMEDY = "Restore them, name their new place in parent_data, or train a new model."
