"""Inputs of the benchmarks of speed: Parquet files of synthetic cells, written as a stream, and models to edit them.

The models' networks are untrained: the cost of an edit depends on the widths of the layers, not on the weights. Their
change differs between the two kinds of cell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from neuronedit.arrays import Float32s
from neuronedit.cells.design import PAIR_EDIT, PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import Scaling, fit_scaling
from neuronedit.cells.transforms import Arcsinh
from neuronedit.edits import plans
from neuronedit.edits.edit import fit_edit
from neuronedit.edits.operators.table import EditStep
from neuronedit.edits.pair_events import PairEvents
from neuronedit.edits.plans import NEURONS_THEN_MARKERS, Plan
from neuronedit.fitting.students import with_student
from neuronedit.model.edit_model import EditModel
from neuronedit.model.saved.files import save_model
from neuronedit.network.autoencoder import VISIBLE, Architecture, Autoencoder

N_MARKERS = 40
MARKERS = tuple(f"marker{index}" for index in range(N_MARKERS))
COFACTOR = 5.0

SAMPLE, EVENT = "sample_id", "event"
"""Further columns: the same text for all events, and a number for each."""

MILLION = 1_000_000
"""Events of a row group, as pyarrow writes them by default; those of a larger one repeat themselves after as many."""


@dataclass(frozen=True)
class FileSet:
    """Files of a folder.

    Attributes:
        n_events: Number of events of all files together, which share them evenly.
        n_files: How many there are.
        compression: The columns' codec.
        row_group_events: Events of each row group.
    """

    n_events: int
    n_files: int = 10
    compression: str = "snappy"
    row_group_events: int = MILLION

    def write(self, folder: Path, seed: int = 0) -> None:
        """Write the files into a new folder; at most a million events are held in memory."""
        folder.mkdir(parents=True)
        generator = np.random.default_rng(seed)
        for number in range(self.n_files):
            self._write_file(folder / f"{number:05}.parquet", self.n_events // self.n_files, generator)

    def _write_file(self, path: Path, n_events: int, generator: np.random.Generator) -> None:
        # No dictionaries on numbers, as the output has none: they cost five times the writing and gain nothing.
        with pq.ParquetWriter(path, SCHEMA, compression=self.compression, use_dictionary=[SAMPLE]) as writer:
            for first in range(0, n_events, self.row_group_events):
                n_rows = min(self.row_group_events, n_events - first)
                events = event_table(min(n_rows, MILLION), generator)
                repeated = pa.concat_tables([events] * ceil(n_rows / MILLION)).slice(0, n_rows)
                writer.write_table(repeated, row_group_size=n_rows)


SCHEMA = pa.schema(
    [
        (SAMPLE, pa.dictionary(pa.int32(), pa.string())),
        (EVENT, pa.int64()),
        *((marker, pa.float32()) for marker in MARKERS),
    ]
)


def event_table(n_events: int, generator: np.random.Generator) -> pa.Table:
    """Events as a file has them."""
    sample = pa.DictionaryArray.from_arrays(np.zeros(n_events, np.int32), pa.array(["sample"]))
    columns = [sample, np.arange(n_events), *intensities(n_events, generator).T]
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=SCHEMA)


def intensities(n_events: int, generator: np.random.Generator, shifts: tuple[float, float] = (0.0, 0.0)) -> Float32s:
    """Raw intensities like mass cytometry's, of two kinds of cell and with many zeros: (n_events, n_markers).

    Args:
        n_events: How many.
        generator: Draws them.
        shifts: Shift of all markers of either kind, arcsinh units.
    """
    kind = generator.integers(0, 2, (n_events, 1))
    signal = generator.standard_normal((n_events, N_MARKERS), dtype=np.float32) * 1.2 + 1 + kind
    moved = signal + np.array(shifts, np.float32)[kind]
    return np.clip(np.sinh(moved) * COFACTOR, 0, None).astype(np.float32)


SHIFTS = (0.3, 0.8)
"""Shifts of the two kinds of cell, arcsinh units."""


@dataclass(frozen=True)
class Trial:
    """A model to be measured.

    Attributes:
        plans: Several are blended evenly.
        architecture: Its network's layers.
        n_events: Of source and target each; few where an edit's cost does not depend on them.
        served: By a student, as a job's edits are.
    """

    plans: tuple[Plan, ...]
    architecture: Architecture = field(default_factory=Architecture)
    n_events: int = 1_000
    served: bool = False


N_LANDMARKS = 5_000
"""More events than ``neighbours`` keeps of a source: its cost grows with those that it keeps."""

N_DRAWN = 20_000
"""Events that a job draws of each population: ``strata`` then tells as many kinds of cell apart as it ever does."""

NEURONS, SMALL, QUANTILE_MAP, DEFAULT = "neurons-then-markers", "small network", "quantile-map", "default"
TEACHER, SIX_PLANS = "default, by its teacher", "six plans"
LINEAR, STRATA, NEIGHBOURS = "code linear", "code strata", "code neighbours"

TRIALS: Mapping[str, Trial] = {
    NEURONS: Trial((NEURONS_THEN_MARKERS,)),
    SMALL: Trial((NEURONS_THEN_MARKERS,), Architecture(hidden=(64,), code=32)),
    QUANTILE_MAP: Trial((plans.QUANTILE_MAP,)),
    LINEAR: Trial(((EditStep(operator="linear"),),)),
    STRATA: Trial(((EditStep(operator="strata"),),)),
    NEIGHBOURS: Trial(((EditStep(operator="neighbours"),),), n_events=N_LANDMARKS),
    DEFAULT: Trial((plans.DEFAULT,), n_events=N_DRAWN, served=True),
    TEACHER: Trial((plans.DEFAULT,), n_events=N_DRAWN),
    SIX_PLANS: Trial(
        (
            plans.QUANTILE_MAP,
            (EditStep(layer=VISIBLE, operator="strata", n_strata=4),),
            (EditStep(layer=VISIBLE, operator="strata", n_strata=12),),
            plans.TRANSPORT,
            (EditStep(operator="strata", n_strata=4), EditStep(layer=VISIBLE, operator="strata", n_strata=4)),
            (EditStep(operator="neighbours"), EditStep(layer=VISIBLE)),
        ),
        n_events=N_LANDMARKS,
    ),
}
"""By name. ``six plans`` is the most that was blended before the default was one plan, to compare with.
``code …`` edit nothing but the code, by one operator each."""


def save_trials(folder: Path, names: tuple[str, ...] = tuple(TRIALS)) -> None:
    """Fit models and save each in a folder of its name."""
    generator = np.random.default_rng(0)
    source, target = intensities(N_DRAWN, generator), intensities(N_DRAWN, generator, SHIFTS)
    scaling = fit_scaling([source, target], [Arcsinh(COFACTOR)] * N_MARKERS)
    populations = tuple(scaling.standardise(scaling.transform(events)) for events in (source, target))
    for name in names:
        save_model(_model(TRIALS[name], scaling, *populations), folder / name)


def _model(trial: Trial, scaling: Scaling, source: Float32s, target: Float32s) -> EditModel:
    autoencoder = Autoencoder(N_MARKERS, trial.architecture).eval().requires_grad_(False)
    pair = source[: trial.n_events], target[: trial.n_events]
    edits = [fit_edit(PAIR_EDIT, (autoencoder,), plan, *pair, zeros=scaling.zeros) for plan in trial.plans]
    members = [replace(member, weight=1 / len(edits)) for each in edits for member in each.members]
    edit = replace(edits[0], members=tuple(members))
    if trial.served:
        edit = with_student(edit, (autoencoder,), PairEvents(*pair), None, seed=0)
    design = PairDesign(source={"condition": "a"}, target={"condition": "b"})
    return EditModel(Panel(MARKERS, (COFACTOR,) * N_MARKERS), scaling, (autoencoder,), {PAIR_EDIT: edit}, design)
