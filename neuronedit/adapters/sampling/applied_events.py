"""The events that a transform is to edit, looked at beforehand: their support, and the column values that name them."""

from collections.abc import Sequence
from typing import Final

from neuronedit.adapters.files.blocks import FileReader
from neuronedit.adapters.files.columns import counted_values
from neuronedit.adapters.files.dataset import EventDataset, EventFile
from neuronedit.adapters.sampling.populations import draw_populations
from neuronedit.cells.design import PAIR_EDIT, ControlsDesign
from neuronedit.cells.draw import SampleConfig
from neuronedit.cells.selection import EventChoice, Where
from neuronedit.errors import DataError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.quality.unsupported import EditSupport, score_support
from neuronedit.model.route import Route

FIRST_LOOK: Final = 1_000
"""Events of each edit that are scored before anything is written."""

LOOKED_AT: Final = 32
"""Files whose columns are read to name their events."""

MAX_VALUES: Final = 4
"""Values of a column that a name lists."""


def look_ahead(model: EditModel, dataset: EventDataset, where: Where, route: Route) -> list[EditSupport]:
    """Score the support of up to ``FIRST_LOOK`` events of each edit, drawn by Ray from all of the input.

    Args:
        model: The model that is to be applied.
        dataset: The input.
        where: Column values of the events to edit; empty for all.
        route: The edits that they get.

    Raises:
        PanelError: A marker is missing in a file.
        DataError: A file is damaged, a column is missing, or an intensity is not a finite number.
    """
    by = None if route.edits else model.batch_column
    sample = SampleConfig(events_per_population=FIRST_LOOK)
    drawn = draw_populations(dataset, model.panel, EventChoice(where, by), sample).intensities
    if by is None:
        drawn = {" → ".join(route.edits or (PAIR_EDIT,)): events for events in drawn.values()}
    return score_support(drawn, model, route)


def naming_values(model: EditModel, dataset: EventDataset) -> Where:
    """Find the values that an input has in the columns that name a pair model's populations; none of other models.

    Columns of up to ``LOOKED_AT`` files are read, evenly spread. Of many values, some are listed.

    Args:
        model: The model.
        dataset: The input.
    """
    design = model.design
    if isinstance(design, ControlsDesign):
        return {}
    files = [file for file in dataset.files if file.n_events]
    chosen = files[:: -(-len(files) // LOOKED_AT)]
    found: Where = {}
    for column in dict.fromkeys([*design.source, *design.extrapolation]):
        values = list(dict.fromkeys(value for file in chosen for value in _values(dataset, file, column)))
        if values:
            rest = [f"{len(values) - MAX_VALUES} more"] * (len(values) > MAX_VALUES)
            found[column] = values[0] if len(values) == 1 else [*values[:MAX_VALUES], *rest]
    return found


def _values(dataset: EventDataset, file: EventFile, column: str) -> Sequence[str]:
    if column in file.partition:
        value = file.partition[column]
        return [value] if value else []
    try:
        with FileReader(dataset.filesystem, file) as reader:
            if column not in reader.parquet.schema_arrow.names:
                return []
            blocks = (block for group in reader.row_groups for block in reader.blocks(group, [column]))
            return [value for block in blocks for value, _ in counted_values(block.table, file, column)]
    except DataError:  # told, or left out, by the worker that reads it
        return []
