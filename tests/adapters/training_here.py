"""Training without Ray: the loop that Ray Train's workers run, in this process, or several joined by gloo.

What Ray does for ``train_autoencoder`` is done here in its stead: workers are started, those that die are started again
as often as the failure config allows, and the ledger is told. That Ray does the same, the tests marked ``faults`` and
``ray`` say.
"""

import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import ray.train
import torch
from torch import nn

from neuronedit.adapters.cluster import progress
from neuronedit.adapters.training import ledger as training_ledger
from neuronedit.adapters.training import trainer as ray_train
from neuronedit.adapters.training.worker import DATASET, Task, Trained, train_loop
from neuronedit.errors import NeuroneditError
from neuronedit.network.state import EpochLosses
from tests.adapters.killers import InThisProcess

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["neuronedit.adapters.training.worker", "torch._dynamo"])

After = Callable[[Task, int], None]


class Died(Exception):  # noqa: N818  an end, not an error
    """Stands for the end of a worker's process: nothing of the loop catches it."""


@dataclass
class Record:
    """What the workers did.

    Attributes:
        starts: How many workers each start of the group had.
        epochs: Those that were trained, in the order of their ends.
    """

    starts: list[int] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Here:
    """One worker's view of its group: alone in this process, or one of several processes.

    Attributes:
        tables: All events.
        tell: Is told ``begin`` and ``add``, with their arguments.
    """

    tables: Sequence[pa.Table]
    tell: Callable[..., None]
    rank: int = 0
    n_workers: int = 1

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def blocks(self) -> Sequence[pa.Table]:
        return self.tables

    def joined(self, network: nn.Module) -> nn.Module:
        return nn.parallel.DistributedDataParallel(network) if self.n_workers > 1 else network

    def begin(self, history: tuple[EpochLosses, ...], problems: tuple[str, ...]) -> None:
        self.tell("begin", history, self.n_workers, problems)

    def add(self, losses: EpochLosses) -> None:
        self.tell("add", losses)


@contextmanager
def actors_here() -> Iterator[None]:
    """The training's ledger is an object of this process, and looked at often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_ledger, "driver_actor", lambda kind: nullcontext(InThisProcess(kind)))
        patch.setattr(training_ledger.ray, "get", lambda found: found)
        for name, seconds in (("LOOKS", 0.05), ("LINES", 0.1)):
            patch.setattr(progress, f"SECONDS_BETWEEN_{name}", seconds)
        yield


@contextmanager
def without_ray(after: After = lambda task, epoch: None) -> Iterator[Record]:
    """``train_autoencoder`` trains without Ray while the block runs.

    Args:
        after: What befalls a single worker after an epoch, before its checkpoint; it may raise ``Died``.
    """
    record = Record()

    class Trainer:
        """Stands in for Ray Train's."""

        def __init__(self, _: Any, *, train_loop_config: Any, scaling_config: Any, run_config: Any, **more: Any):
            self.task, self.ledger = train_loop_config["task"], train_loop_config["ledger"].actor
            self.n_workers = scaling_config.num_workers
            self.max_failures = run_config.failure_config.max_failures
            self.tables = more["datasets"][DATASET]

        def fit(self) -> Any:
            for _ in range(1 + self.max_failures):
                record.starts.append(self.n_workers)
                try:
                    return SimpleNamespace(return_value=self.trained())
                except Died as error:
                    death = error
            raise ray.train.WorkerGroupError(str(death), {0: death})

        def trained(self) -> Trained | NeuroneditError:
            if self.n_workers == 1:
                return train_loop(self.task, Here(self.tables, self.tell))
            return train_together(self.task, self.tables, self.n_workers, self.tell)

        def tell(self, verb: str, *arguments: Any) -> None:
            getattr(self.ledger, verb)(*arguments)
            if verb == "add":
                record.epochs.append(arguments[0].epoch)
                after(self.task, arguments[0].epoch)

    with actors_here(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_train, "check_workers", lambda *asked: None)
        patch.setattr(ray_train.ray.data, "from_arrow", lambda tables: tables)
        patch.setattr(ray_train, "_Trainer", Trainer)
        yield record


def train_together(
    task: Task, tables: Sequence[pa.Table], n_workers: int, tell: Callable[..., None]
) -> Trained | NeuroneditError:
    """What the first of several processes comes to; all must come to the same error, or to none."""
    with TemporaryDirectory() as folder:
        workers = [
            PROCESSES.Process(target=_one_of, args=(task, tables, rank, n_workers, Path(folder)))
            for rank in range(n_workers)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(timeout=120)
            assert worker.exitcode == 0
        told, ends = zip(
            *(pickle.loads((Path(folder) / f"{rank}").read_bytes()) for rank in range(n_workers)), strict=True
        )
    for what in told[0]:
        tell(*what)
    assert len({str(end) if isinstance(end, NeuroneditError) else "" for end in ends}) == 1
    return ends[0]


def _one_of(task: Task, tables: Sequence[pa.Table], rank: int, n_workers: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=n_workers)
    told: list[tuple[Any, ...]] = []
    end = train_loop(task, Here(tables, lambda *what: told.append(what), rank, n_workers))
    (folder / f"{rank}").write_bytes(pickle.dumps((told, end)))
    torch.distributed.barrier()
    os._exit(0)  # what is asked is on disk; taking down gloo's threads aborts the process now and then (SIGABRT)
