"""Speed of ``transform`` and ``train`` on a GPU, beside the device's limits.

Synthetic cells of two kinds, 40 markers; the default network. A limit is what the device's memory can move or its
arithmetic can take (``gpu_limits``), whichever is less: rates over it say how much of the device is put to use. Rates
from file to file, or through Ray, have no such limit: they are bound by the processor's cores.
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path

import pandas as pd
import torch

from neuronedit.adapters.cluster.session import GpuShare
from neuronedit.model.pipeline.device import found_device
from neuronedit.model.saved.files import load_model
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan

from ..measure import Result, in_new_process
from .event_files import DEFAULT, NEURONS, save_trials
from .gpu_limits import Limits, edit_work, training_work
from .gpu_rates import (
    drawn,
    held,
    job_cost,
    kernel_rate,
    memory_rate,
    ray_training,
    step_rate,
    whole_training,
    write_files,
)
from .ways import Work

log = logging.getLogger(__name__)

KERNEL, MEMORY, JOB = "edit, device's memory", "edit, processor's memory", "transform, files"
STEPS, TRAINING, RAY = "training, steps", "training, device's memory", "Ray Train, 1 worker with the GPU"
ON_CORES = "cores alone"

PRECISIONS = ("float32", "bfloat16")

ACTORS = (4, 8, 14)
"""That share the GPU: as many as by default, and most of the cores of the machine that this was made for."""


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        minibatches_edited: That lie in the device's memory, and reads from the processor's, twice as large.
        files: Numbers of files of the job's inputs, the shorter one first, and the events of each file.
        minibatches: Minibatch sizes of the training that is measured.
        n_training: Events in the device's memory.
        plan: By which these are trained on.
        n_ray: Events that Ray Train hands to its worker.
    """

    minibatches_edited: int
    files: tuple[int, int]
    file_events: int
    minibatches: Sequence[int]
    n_training: int
    plan: TrainingPlan
    n_ray: int


FULL = Size(
    16,
    (14, 70),
    250_000,
    (1_024, 16_384, 65_536),
    100_000_000,
    TrainingPlan(epochs=3, minibatch=16_384, validation_fraction=0.01),
    10_000_000,
)
QUICK = Size(2, (4, 12), 10_000, (1_024,), 100_000, TrainingPlan(epochs=2), 40_000)


def run(quick: bool) -> Result:
    """Measure every row.

    Args:
        quick: Less of everything.

    Raises:
        ModelError: There is no GPU.
    """
    device = found_device("cuda")
    torch.set_float32_matmul_precision("highest")  # as in an edit; containers may have switched TF32 on
    limits = Limits.of(device)
    rows = measure(QUICK if quick else FULL, device, limits)
    table = pd.DataFrame([vars(row) for row in rows.values()], pd.Index(rows, name="row"))
    return Result(table.assign(over_limit=table["events_per_s"] / table["limit"]), figures(rows, limits))


@dataclass(frozen=True)
class Row:
    """One rate.

    Attributes:
        events_per_s: Measured.
        limit: The device's, events per second; NaN where others bind.
        seconds: Time of the whole, if it is measured.
        loss: Validation loss at the end, where there is one.
    """

    events_per_s: float
    limit: float = nan
    seconds: float = nan
    loss: float = nan


class Rows(dict[str, Row]):
    """By name; each is told as it comes."""

    def __setitem__(self, name: str, row: Row) -> None:
        log.info("%s: %.3g events per second", name, row.events_per_s)
        super().__setitem__(name, row)


def measure(size: Size, device: torch.device, limits: Limits) -> Rows:
    """All rows."""
    rows = Rows()
    with tempfile.TemporaryDirectory(prefix="neuronedit-benchmark-") as folder:
        _edit(rows, Path(folder), size, device, limits)
    _train(rows, size, device, limits)
    return rows


def _edit(rows: Rows, folder: Path, size: Size, device: torch.device, limits: Limits) -> None:
    save_trials(folder, (NEURONS, DEFAULT))
    for name, limit in ((NEURONS, limits.events_per_s(edit_work(Architecture()))), (DEFAULT, nan)):
        model = load_model(folder / name)
        rows[f"{MEMORY}, {name}"] = Row(memory_rate(model, device, size.minibatches_edited))
        rows[f"{KERNEL}, {name}"] = Row(kernel_rate(model, device, size.minibatches_edited), limit)
    for n_files in size.files:
        write_files(folder / str(n_files), size.file_events, n_files)
    short, whole = (folder / str(n_files) for n_files in size.files)
    ways: dict[str, GpuShare | None] = {f"{JOB}, {ON_CORES}": None}
    ways |= {f"{JOB}, {actors} actors": GpuShare(actors, str(device)) for actors in ACTORS}
    work = Work(folder / NEURONS, whole, folder / "edited", short)
    n_events = (size.files[1] - size.files[0]) * size.file_events
    for name, gpu in ways.items():
        cost = in_new_process(job_cost, work, short, gpu)
        rows[name] = Row(n_events / cost.wall_s, nan, cost.wall_s)


def _train(rows: Rows, size: Size, device: torch.device, limits: Limits) -> None:
    populations = drawn(size.n_training, device)
    few = {name: events[: size.n_ray // 2].cpu().numpy() for name, events in populations.items()}
    for precision in PRECISIONS:
        limit = limits.events_per_s(training_work(Architecture()), precision)
        plan = replaced(size.plan, precision=precision)
        minibatches = held(populations, plan)
        for minibatch in size.minibatches:
            own = replaced(plan, minibatch=minibatch)
            rows[f"{STEPS} of {minibatch:,}, {precision}"] = Row(step_rate(replace(minibatches, plan=own), own), limit)
        trained = whole_training(minibatches, plan)
        n_drawn = plan.epochs * sum(minibatches.sizes.values())
        rows[f"{TRAINING}, {precision}"] = Row(n_drawn / trained.wall_s, limit, trained.wall_s, trained.loss)
        del minibatches
    del populations
    if device.type == "cuda":
        torch.cuda.empty_cache()
    found = in_new_process(ray_training, few, size.plan, device.type == "cuda")
    n_drawn = round(size.n_ray * (1 - size.plan.validation_fraction)) * size.plan.epochs
    rows[RAY] = Row(n_drawn / found.loop_seconds, nan, found.seconds, found.history[-1].validation_loss)


def replaced(plan: TrainingPlan, **settings: object) -> TrainingPlan:
    """The plan with other settings."""
    return plan.model_copy(update=settings)


def figures(rows: Mapping[str, Row], limits: Limits) -> dict[str, float]:
    """Rates and shares of the device's limit."""
    edited, jobs = rows[f"{KERNEL}, {NEURONS}"], [rows[name] for name in rows if name.startswith(JOB)]
    trained = {precision: rows[f"{TRAINING}, {precision}"] for precision in PRECISIONS}
    return {
        "copied_tb_per_s": limits.bytes_per_s / 1e12,
        **{f"{name}_tflop_per_s": rate / 1e12 for name, rate in limits.flops_per_s.items()},
        "edit_events_per_s": edited.events_per_s,
        "edit_over_limit": edited.events_per_s / edited.limit,
        "transform_events_per_s": max(job.events_per_s for job in jobs[1:]),
        "transform_over_cores": max(job.events_per_s for job in jobs[1:]) / jobs[0].events_per_s,
        **{f"train_events_per_s_{name}": row.events_per_s for name, row in trained.items()},
        **{f"train_over_limit_{name}": row.events_per_s / row.limit for name, row in trained.items()},
        "minutes_to_train": trained["float32"].seconds / 60,
        "ray_train_over_loop": rows[RAY].events_per_s / trained["float32"].events_per_s,
    }
