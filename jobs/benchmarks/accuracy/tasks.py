"""The transfer tasks: learn source → target, apply it to events whose measured counterpart, the truth, is known.

Five public datasets of real cells, as linear intensities: none is on the arcsinh scale yet. A *positive* task's
effect is known to transfer; a *negative* one's is not, and there the best edit is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Int64s
from neuronedit.cells.design import MIN_POPULATION_EVENTS
from neuronedit.cells.selection import Where, describe, select
from neuronedit.cells.transforms import MASS_COFACTOR
from neuronedit.errors import DataError

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
"""The default folder of the datasets, beside the project: ``<dataset>/cells.parquet``."""

FLUORESCENCE_COFACTOR = 150.0

NOT_MARKERS = ("sample", "batch", "condition", "donor", "role", "cell_type", "treatment", "ova", "FSC", "SSC")
"""Columns that say what an event is, and the scatter, which no cofactor suits."""


@dataclass(frozen=True)
class TransferTask:
    """A task: column values of source, target, events to be edited, and their truth.

    Attributes:
        name: For people.
        dataset: A folder with ``cells.parquet``.
        source: Events that the effect is learned from.
        target: Events with the effect.
        events: Events to be edited.
        truth: Their measured counterpart: for scores only.
        transfers: Whether the effect is known to transfer (a positive task).
        cofactor: Divides linear intensities before arcsinh.
        sample_column: The column that names the samples of source and target, each of which is in both; None where
            there is one only.
    """

    name: str
    dataset: str
    source: Where
    target: Where
    events: Where
    truth: Where
    transfers: bool = True
    cofactor: float = MASS_COFACTOR
    sample_column: str | None = None


@dataclass(frozen=True)
class Cells:
    """One dataset: (n_events,) annotations and (n_events, n_markers) float32 linear intensities."""

    path: Path
    annotations: pd.DataFrame
    intensities: Float32s
    markers: tuple[str, ...]


@dataclass(frozen=True)
class Populations:
    """All that a method may see: (n, n_markers) float32 linear intensities each. The truth is not among it."""

    source: Float32s
    target: Float32s
    events: Float32s


def load_cells(folder: Path, dataset: str) -> Cells:
    """Read a dataset.

    Raises:
        DataError: It is not there.
    """
    path = folder / dataset / "cells.parquet"
    if not path.is_file():
        raise DataError(
            f"{path}: not found. Expected one Parquet file of cells for each dataset of the benchmark; "
            "name the folder that holds the datasets with --data FOLDER."
        )
    table = pd.read_parquet(path)
    markers = tuple(name for name in table.columns if name not in NOT_MARKERS)
    annotations = table[[name for name in table.columns if name in NOT_MARKERS]]
    return Cells(path, annotations, table[list(markers)].to_numpy(np.float32), markers)


def draw(cells: Cells, task: TransferTask, n_events: int, seed: int) -> tuple[Populations, Float32s]:
    """At most ``n_events`` events of each population of a task, and of the truth.

    Each is drawn by a generator of its own, so that what the truth holds does not change what a method sees.

    Raises:
        DataError: A population has too few events.
    """
    source, target, events, truth = (cells.intensities[rows] for rows in draw_rows(cells, task, n_events, seed))
    return Populations(source, target, events), truth


def draw_rows(cells: Cells, task: TransferTask, n_events: int, seed: int) -> list[Int64s]:
    """The rows of ``cells`` that ``draw`` takes, for what their annotations say: of source, target, events and truth.

    Raises:
        DataError: A population has too few events.
    """
    roles = {"source": task.source, "target": task.target, "events": task.events, "truth": task.truth}
    return [
        _draw_one(cells, where, f"{task.name}, {role}", n_events, np.random.default_rng([seed, number]))
        for number, (role, where) in enumerate(roles.items())
    ]


def _draw_one(cells: Cells, where: Where, name: str, n_events: int, generator: np.random.Generator) -> Int64s:
    rows = np.flatnonzero(select(cells.annotations, where))
    if len(rows) < MIN_POPULATION_EVENTS:
        raise DataError(
            f"{cells.path}: {len(rows)} events where {describe(where)} ({name}); "
            f"expected at least {MIN_POPULATION_EVENTS}. "
            "The file is not the dataset that the benchmark was written for."
        )
    return generator.permutation(rows)[:n_events]


def _day(number: int, donor: str, condition: str) -> Where:
    return {"batch": f"day{number}", "donor": donor, "condition": condition}


def _between_days(first: int, second: int) -> list[TransferTask]:
    """Tasks of blood measured on two days: learned on P1's baseline, applied to P1's other and P2's samples."""
    return [
        TransferTask(
            f"day{first}→day{second}: P1 baseline → {donor} {condition}",
            "shaham_ms_cytof",
            source=_day(first, "P1", "baseline"),
            target=_day(second, "P1", "baseline"),
            events=_day(first, donor, condition),
            truth=_day(second, donor, condition),
        )
        for donor, condition in (("P2", "baseline"), ("P1", "3month"), ("P2", "3month"))
    ]


def _between_months(donor: str, other: str, day: int) -> TransferTask:
    return TransferTask(
        f"baseline→3month, day{day}: {donor} → {other}",
        "shaham_ms_cytof",
        source=_day(day, donor, "baseline"),
        target=_day(day, donor, "3month"),
        events=_day(day, other, "baseline"),
        truth=_day(day, other, "3month"),
    )


def _between_batches(batch: str, reference: str = "PTLG021") -> TransferTask:
    return TransferTask(
        f"{batch}→{reference}: volunteer 1 → volunteer 2",
        "cytonorm_ptlg",
        source={"batch": batch, "donor": "volunteer1"},
        target={"batch": reference, "donor": "volunteer1"},
        events={"batch": batch, "donor": "volunteer2"},
        truth={"batch": reference, "donor": "volunteer2"},
    )


def _between_gates(stimulus: str, gate: str, other: str, *, transfers: bool = True) -> TransferTask:
    return TransferTask(
        f"{stimulus}: {gate} → {other}",
        "bodenmiller_pbmc",
        source={"condition": "unstimulated", "cell_type": gate},
        target={"condition": stimulus, "cell_type": gate},
        events={"condition": "unstimulated", "cell_type": other},
        truth={"condition": stimulus, "cell_type": other},
        transfers=transfers,
    )


def _antigen(source: Mapping[str, str], other: Mapping[str, str], name: str, *, transfers: bool) -> TransferTask:
    return TransferTask(
        f"OVA 0→0.5: {name}",
        "ot_activation_flow",
        source={**source, "ova": 0.0},
        target={**source, "ova": 0.5},
        events={**other, "ova": 0.0},
        truth={**other, "ova": 0.5},
        transfers=transfers,
        cofactor=FLUORESCENCE_COFACTOR,
    )


def _irradiated(lines: Sequence[str], other: str, *, transfers: bool = True) -> TransferTask:
    learned = lines[0] if len(lines) == 1 else f"{len(lines)} lines"
    return TransferTask(
        f"0Gy→10Gy: {learned} → {other}",
        "rucova_hnscc",
        source={"condition": "0Gy", "donor": [*lines]},
        target={"condition": "10Gy", "donor": [*lines]},
        events={"condition": "0Gy", "donor": other},
        truth={"condition": "10Gy", "donor": other},
        transfers=transfers,
        sample_column="donor" if len(lines) > 1 else None,
    )


def _other_lines(line: str, *, transfers: bool = True) -> TransferTask:
    return _irradiated([name for name in LINES if name != line], line, transfers=transfers)


FIRST_TASKS = (
    *_between_days(1, 2),
    *_between_days(2, 1),
    _between_months("P1", "P2", day=1),
    _between_months("P2", "P1", day=2),
    _between_batches("PTLG026"),
    _between_batches("PTLG028"),
    _between_batches("PTLG034"),
    _between_gates("PMA_ionomycin", "cd4+", "cd8+"),
    _between_gates("PMA_ionomycin", "cd4+", "nk"),
    _between_gates("PMA_ionomycin", "cd8+", "igm+"),
    _between_gates("vanadate", "cd4+", "cd8+"),
    _between_gates("vanadate", "cd4+", "nk"),
    _between_gates("BCR_FcR_XL", "cd4+", "cd8+"),
    _antigen(
        {"cell_type": "CD4T_OTII", "treatment": "Stim-C"},
        {"cell_type": "CD4T_OTII", "treatment": "Stim-D"},
        "CD4T_OTII, Stim-C → Stim-D",
        transfers=True,
    ),
    _between_gates("BCR_FcR_XL", "cd8+", "igm+", transfers=False),
    _between_gates("BCR_FcR_XL", "igm+", "cd14+hladrmid", transfers=False),
    _antigen(
        {"cell_type": "CD4T_OTII", "treatment": "Stim-D"},
        {"cell_type": "CD8T_OTI", "treatment": "Stim-D"},
        "Stim-D, CD4T_OTII → CD8T_OTI",
        transfers=False,
    ),
)
"""18 positive tasks, then 3 negative ones: those of the benchmark's first four datasets."""

LINES = ("Cal27", "Cal33", "UDSCC2", "UPCISCC099", "UPCISCC131", "UPCISCC154", "UTSCC16A", "VUSCC147")
"""The cell lines of ``rucova_hnscc``."""

TASKS = (
    *FIRST_TASKS,
    _other_lines("UPCISCC099"),
    _other_lines("UPCISCC154"),
    _other_lines("UDSCC2"),
    _other_lines("Cal33"),
    _other_lines("UPCISCC131", transfers=False),
    _irradiated(["Cal33"], "UPCISCC154", transfers=False),
    _irradiated(["VUSCC147"], "UDSCC2", transfers=False),
)
"""22 positive tasks and 6 negative ones in all."""
