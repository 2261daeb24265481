"""Ray Data applies a model to a dataset: each part of the input is a work item, each output is committed whole."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ray
from pyarrow import fs

from neuronedit.adapters.cluster.progress import Done, shown_progress
from neuronedit.adapters.cluster.session import GpuShare, driver_actor, free_slots
from neuronedit.adapters.cluster.tasks import raise_failure, work_items
from neuronedit.adapters.files.blocks import FilePart
from neuronedit.adapters.transform.committed import Receipt
from neuronedit.adapters.transform.event_editor import TransformRules
from neuronedit.adapters.transform.file_transformer import FileRules, FileTransformer
from neuronedit.adapters.transform.output_folder import OutputFolder
from neuronedit.errors import ClusterError
from neuronedit.model.quality.tally import Tally


def transform_parts(
    parts: Sequence[FilePart],
    filesystem: fs.FileSystem,
    output: OutputFolder,
    rules: TransformRules,
    files: FileRules,
    tally: Tally,
    n_workers: int | None = None,
    gpu: GpuShare | None = None,
) -> list[Receipt]:
    """Edit parts of the input with an autoscaling pool of Ray actors, each part streamed and committed by one of them.

    Parts whose outputs stand already are checked and left as they are.

    Args:
        parts: The parts of the input.
        filesystem: The file system of the input.
        output: The folder to fill.
        rules: The events to edit, and their edits.
        files: The layout of the output, and the treatment of bad input.
        tally: All parts' tallies are added to it; receipts come back without their own, which may be gigabytes.
        n_workers: Largest number of actors; by default one per core that is free now.
        gpu: Each actor's share of a GPU; by default none.

    Raises:
        PanelError: A marker is missing in a file.
        DataError: A file is damaged, or an intensity is not a finite number.
        ModelError: A batch is unknown.
        OutputError: Another job took the output over.
        StorageError: A storage fails, or is full.
        ClusterError: The cluster has no room for a worker, or no GPU, or loses its workers.
    """
    arguments = {
        "filesystem": filesystem,
        "output": output,
        "rules": rules,
        "files": files,
        "device": gpu.device if gpu else None,
    }
    receipts = []
    for receipt in worked(FileTransformer, arguments, parts, sum(part.n_events for part in parts), n_workers, gpu):
        tally.add(Tally.from_text(receipt.quality))
        receipts.append(replace(receipt, quality=""))
    return receipts


def worked(
    worker: type,
    arguments: Mapping[str, Any],
    items: Sequence[Any],
    n_events: int,
    n_workers: int | None = None,
    gpu: GpuShare | None = None,
) -> Iterator[Receipt]:
    """Yield the receipts of work items, each done by one of an autoscaling pool of Ray actors, in any order.

    Args:
        worker: The actors' class: called with a table of work items, it gives their receipts (see ``receipt_rows``).
        arguments: Arguments of the class; it gets the ledger, too.
        items: The work items, dataclasses.
        n_events: Number of their events, for the progress that is shown.
        n_workers: Largest number of actors; by default one per core that is free now.
        gpu: Each actor's share of a GPU; by default none.

    Raises:
        NeuroneditError: A worker raised it.
        ClusterError: The cluster has no room for a worker, or no GPU, or loses its workers.
    """
    slots = min(free_slots(), gpu.slots()) if gpu else free_slots()
    if not items:
        return
    with (
        _ray_errors_told(),
        driver_actor(_TransformLedger, max_restarts=-1) as ledger,
        shown_progress(lambda: _look(ledger, len(items)), n_events),
    ):
        stream = work_items(items).map_batches(
            worker,
            fn_constructor_kwargs={**arguments, "ledger": ledger},
            batch_size=1 if gpu else None,  # with GPUs, Ray Data asks for a number
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(n_workers or slots, len(items))),
            num_cpus=1,
            num_gpus=gpu.num_gpus if gpu else 0,
        )
        for row in stream.iter_rows():
            raise_failure(row)
            yield Receipt.from_json(row["receipt"])


class _TransformLedger:
    """An actor on the driver's node that counts attempts and events, also when workers die."""

    def __init__(self) -> None:
        self.attempts: dict[str, int] = {}
        self.events: dict[str, int] = {}
        self.n_files, self.n_events = 0, 0

    def begin(self, output: str) -> int:
        """Note that a worker takes up an output; return the number of workers that have, this one included."""
        self.attempts[output] = self.attempts.get(output, 0) + 1
        return self.attempts[output]

    def advance(self, output: str, n_events: int, finished: bool) -> None:
        """Note how far a worker is with an output; one that takes over from a lost one begins anew."""
        more = n_events - self.events.pop(output, 0)
        self.n_files += finished
        self.n_events += more
        if not finished:
            self.events[output] = n_events

    def look(self) -> tuple[int, int]:
        """The numbers of files and events done so far."""
        return self.n_files, self.n_events


def _look(ledger: Any, n_files: int) -> Done | None:
    try:
        n_done, n_events = ray.get(ledger.look.remote())
    except ray.exceptions.RayError:  # what is wrong, the stream of results tells
        return None
    return Done(n_events, f"{n_done:,} of {n_files:,} files")


@contextmanager
def _ray_errors_told() -> Iterator[None]:
    try:
        yield
    except ray.exceptions.RayTaskError:
        raise  # a fault of ours: its traceback tells where
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"Ray lost the job's workers ({str(error).strip().splitlines()[-1]}). "
            "Finished files stand: run again with resume = true."
        ) from error
