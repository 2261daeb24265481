"""The transfer tasks: learn source → target, apply it to events whose measured counterpart, the truth, is known.

Four public datasets of real cells, as linear intensities: none is on the arcsinh scale yet. A *positive* task's
effect is known to transfer; a *negative* one's is not, and there the best edit is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s
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
    """

    name: str
    dataset: str
    source: Where
    target: Where
    events: Where
    truth: Where
    transfers: bool = True
    cofactor: float = MASS_COFACTOR


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
    source, target, events, truth = (
        _draw_one(cells, where, f"{task.name}, {role}", n_events, np.random.default_rng([seed, number]))
        for number, (role, where) in enumerate(
            {"source": task.source, "target": task.target, "events": task.events, "truth": task.truth}.items()
        )
    )
    return Populations(source, target, events), truth


def _draw_one(cells: Cells, where: Where, name: str, n_events: int, generator: np.random.Generator) -> Float32s:
    rows = np.flatnonzero(select(cells.annotations, where))
    if len(rows) < MIN_POPULATION_EVENTS:
        raise DataError(
            f"{cells.path}: {len(rows)} events where {describe(where)} ({name}); "
            f"expected at least {MIN_POPULATION_EVENTS}. "
            "The file is not the dataset that the benchmark was written for."
        )
    return cells.intensities[generator.permutation(rows)[:n_events]]


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


TASKS = (
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
"""18 positive tasks, then 3 negative ones."""
