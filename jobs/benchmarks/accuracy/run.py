"""How near each method brings cells to their truth, on tasks that none of them was fitted for.

For each task and seed one autoencoder is trained on source, target and the events to be edited, never on the truth.
Real tasks are scored by mean per-marker EMD and energy distance to the measured truth, beside the noise floor
(``neuronedit.measures.distances``); the simulated one cell by cell (``simulated``).
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from neuronedit.arrays import Float32s
from neuronedit.cells.transforms import MASS_COFACTOR, Arcsinh
from neuronedit.edits.baselines import QUANTILE_MAP
from neuronedit.measures.distances import FLOOR, distance_to_truth, noise_floor
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan

from ..measure import Result
from .confounded import BY_STRATA, PLAIN, SOURCE_SHARES, measure_confounded
from .methods import DEFAULT_NAME, PAIRS, PLANS, Effort, fit_populations, forecast, measure_flags, predict
from .peers import PEERS, PEERS_OF_MANY_EVENTS, Peer, PeerTask, measure_peers
from .simulated import FEW_TYPES, MANY_TYPES, SimulatedTask, World, score_table, simulate
from .summary import SPLIT_COLUMNS, by_task, choose_without, compare, split_scores, summarise
from .tasks import DATA, FIRST_TASKS, TASKS, Populations, TransferTask, draw, load_cells

logger = logging.getLogger(__name__)

FULL = Effort(4_000, 20_000, 3, Architecture(), TrainingPlan(), networks=True)
QUICK = Effort(1_000, 1_000, 1, Architecture(hidden=(100,), code=50), TrainingPlan(epochs=10, minibatch=256))

N_FLAG_SEEDS = 10
"""Draws of each task's events on which its flag is looked at; no edit is fitted for that."""

QUICK_TASKS = TASKS[:18:3]
"""Every third positive task: what fits in 60 s."""


def run(quick: bool, data: Path = DATA, peers: Path | None = None) -> Result:
    """Score every method on every task and seed.

    Args:
        quick: Fewer events, one seed, smaller and shorter networks.
        data: The datasets.
        peers: A folder for the environments of other tools, which are then measured, too.

    Raises:
        DataError: A dataset is missing from the folder ``data``.
        PeerError: A peer cannot be installed.
    """
    effort = QUICK if quick else FULL
    tasks = QUICK_TASKS if quick else TASKS
    scores = measure_tasks(tasks, data, effort, peers)
    summary, confounded = summarise(scores), measure_mixes(effort)
    simulated, many_types = (measure_simulated(effort, peers, world) for world in (FEW_TYPES, MANY_TYPES))
    flags = measure_flags(tasks, data, effort.n_events, N_FLAG_SEEDS)
    details = {
        "emd": by_task(scores, "emd"),
        "energy": by_task(scores, "energy"),
        "forecasts": scores.dropna(subset="flagged"),
        "scores": scores.drop(columns=["flagged", *SPLIT_COLUMNS]),
        "paired": pd.concat([compare(scores, *pair) for pair in PAIRS]),
        "left_out": choose_without(scores, [*PLANS], [DEFAULT_NAME, QUANTILE_MAP]),
        "simulated": simulated.groupby("method", sort=False).mean().drop(columns="seed"),
        "simulated_by_seed": simulated,
        "many_types": many_types.groupby("method", sort=False).mean().drop(columns="seed"),
        "many_types_by_seed": many_types,
        "confounded": confounded.reset_index(),
        "effects": effects(tasks, data, effort),
        "flags": flags,
    }
    figures = _figures(summary.T[DEFAULT_NAME], flags) | _simulated_figures(simulated)
    figures |= {f"many_types_{name}": value for name, value in _simulated_figures(many_types).items()}
    figures |= {"spurious_shift_ratio": _spurious_ratio(confounded)}
    return Result(summary, figures, details)


def _spurious_ratio(confounded: pd.DataFrame) -> float:
    """The shift of markers that must not move, with matched composition over without, where the mixes differ."""
    spurious = confounded["spurious"].xs("another mix")
    return float(spurious[BY_STRATA] / spurious[PLAIN])


def measure_mixes(effort: Effort) -> pd.DataFrame:
    """Means over seeds of edits between populations of another mix of cell types, and of the same mix, by method."""
    tables = {
        "another mix": measure_confounded(effort.n_events, effort.n_seeds),
        "the same mix": measure_confounded(effort.n_events, effort.n_seeds, SOURCE_SHARES[0]),
    }
    means = {name: table.drop(columns="seed").groupby("method", sort=False).mean() for name, table in tables.items()}
    return pd.concat(means, names=["target"])


def _figures(summary: pd.Series, flags: pd.DataFrame) -> dict[str, float]:
    """Figures of the default: on the first positive tasks, on all, and the share flagged before truth is seen."""
    transfers = flags["transfers"] == 1
    figures = {
        "positives_flagged": flags.loc[transfers, "flagged"].mean(),
        "negatives_flagged": flags.loc[~transfers, "flagged"].mean(),
    }
    for suffix in ("", "_all"):
        figures |= {
            f"r_emd{suffix}": summary[f"r_emd{suffix}"],
            f"r_energy{suffix}": summary[f"r_energy{suffix}"],
            f"share_of_tasks_at_least_quantile_map{suffix}": summary[f"at_least_quantile_map{suffix}"],
            f"share_of_tasks_within_quantile_map{suffix}": summary[f"within_quantile_map{suffix}"],
        }
    return {name: float(value) for name, value in figures.items() if np.isfinite(value)}  # JSON has no NaN


def _simulated_figures(scores: pd.DataFrame) -> dict[str, float]:
    """Figures of the default on a simulated task: means over seeds, ``cell_rmse_ratio_lacking`` the largest of any."""
    by_seed = scores[scores["method"] == DEFAULT_NAME].drop(columns="method")
    simulated = by_seed.mean()
    return {
        "gap_closed": simulated["gap_closed"],
        "gap_closed_per_type": simulated["gap_closed_by_type"],
        "cell_rmse_ratio": simulated["rmse_ratio"],
        "cell_rmse_ratio_lacking": by_seed["rmse_ratio_lacking"].max(),
        "classifier_auc": simulated["auc"],
        "effect_slope": simulated["effect_slope"],
    }


def measure_tasks(tasks: Sequence[TransferTask], data: Path, effort: Effort, peers: Path | None = None) -> pd.DataFrame:
    """A row for each task, seed and method: method, emd, energy, task, dataset, transfers, first, seed.

    The noise floor is among the methods. Scores are NaN where a method failed. ``first`` tells whether the task is one
    of the first datasets'; emd_splits and energy_splits are lists of the scores on random splits (``split_scores``).
    """
    cells = {dataset: load_cells(data, dataset) for dataset in sorted({task.dataset for task in tasks})}
    drawn = [
        (task, seed, *draw(cells[task.dataset], task, effort.n_events, seed))
        for seed in range(effort.n_seeds)
        for task in tasks
    ]
    given = [peer_task(task.name, seed, populations, task.cofactor) for task, seed, populations, _ in drawn]
    work = [(*one, effort, others) for one, others in zip(drawn, by_peers(given, peers), strict=True)]
    return pd.concat(in_processes(measure_task, work), ignore_index=True)


def effects(tasks: Sequence[TransferTask], data: Path, effort: Effort) -> pd.DataFrame:
    """A row for each task: how far the effect to be foreseen is the one that is learned.

    Columns: effect, the mean change of the events; difference, from that of source → target; both the mean over
    markers of absolute values, arcsinh units, with the first seed. To add the learned mean change leaves at least the
    difference as EMD.
    """
    rows = []
    for task in tasks:
        populations, truth = draw(load_cells(data, task.dataset), task, effort.n_events, seed=0)
        roles = {**vars(populations), "truth": truth}
        means = {
            role: Arcsinh(task.cofactor).forward(events).mean(axis=0, dtype=np.float64)
            for role, events in roles.items()
        }
        learned, wanted = means["target"] - means["source"], means["truth"] - means["events"]
        rows.append({"task": task.name, "effect": abs(wanted).mean(), "difference": abs(wanted - learned).mean()})
    return pd.DataFrame(rows).set_index("task")


def measure_task(
    task: TransferTask,
    seed: int,
    populations: Populations,
    truth: Float32s,
    effort: Effort,
    others: Mapping[str, Float32s],
) -> pd.DataFrame:
    """One task and seed: a row for each method; ``others`` are what further methods made of the events.

    The row of the default has its forecast, too.
    """
    measured = np.arcsinh(truth / np.float32(task.cofactor))
    model = fit_populations(populations, task.cofactor, seed, effort)
    predictions = predict(model, populations, seed, effort) | dict(others)
    distances = {method: distance_to_truth(events, measured, seed) for method, events in predictions.items()}
    splits = split_scores(predictions, measured, seed)
    rows = [
        {"method": method, **distance.scores, **splits.get(method, {})}
        for method, distance in (distances | {FLOOR: noise_floor(measured, seed)}).items()
    ]
    table = pd.DataFrame(rows).set_index("method")
    for column, value in asdict(forecast(model, populations.events)).items():
        table.loc[DEFAULT_NAME, column] = value
    table = table.reset_index().assign(task=task.name, dataset=task.dataset, transfers=task.transfers, seed=seed)
    return table.assign(first=task in FIRST_TASKS)


def measure_simulated(effort: Effort, peers: Path | None, world: World) -> pd.DataFrame:
    """A row for each method and seed: the simulated task's scores in one world."""
    drawn = [(simulate(effort.n_simulated, seed, world=world), seed) for seed in range(effort.n_seeds)]
    given = [peer_task("the simulated task", seed, task.populations, MASS_COFACTOR) for task, seed in drawn]
    others = by_peers(given, peers, PEERS_OF_MANY_EVENTS)
    work = [(*one, effort, predictions) for one, predictions in zip(drawn, others, strict=True)]
    return pd.concat(in_processes(measure_simulation, work), ignore_index=True)


def measure_simulation(task: SimulatedTask, seed: int, effort: Effort, others: Mapping[str, Float32s]) -> pd.DataFrame:
    """One seed of the simulated task: a row for each method."""
    model = fit_populations(task.populations, MASS_COFACTOR, seed, effort)
    return score_table(task, predict(model, task.populations, seed, effort) | dict(others), seed)


def peer_task(name: str, seed: int, populations: Populations, cofactor: float) -> PeerTask:
    """Make a peer's input of a task: the populations on the arcsinh scale."""
    scaled = {role: Arcsinh(cofactor).forward(intensities) for role, intensities in vars(populations).items()}
    return PeerTask(name, Populations(**scaled), seed)


def by_peers(
    tasks: Sequence[PeerTask], folder: Path | None, peers: Sequence[Peer] = PEERS
) -> list[dict[str, Float32s]]:
    """Edit each task's events by every peer; by none if there is no folder for them."""
    return measure_peers(peers, tasks, folder) if folder else [{} for _ in tasks]


def in_processes(measure: Callable[..., pd.DataFrame], work: Sequence[tuple[object, ...]]) -> list[pd.DataFrame]:
    """The measurements in their order, each process with one thread: networks this small gain nothing from more."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        return list(_logged(pool.map(measure, *zip(*work, strict=True)), len(work)))


def _logged(tables: Iterator[pd.DataFrame], total: int) -> Iterator[pd.DataFrame]:
    for done, table in enumerate(tables, start=1):
        logger.info("%d of %d measured", done, total)
        yield table
