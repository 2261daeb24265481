"""Checkpoints of one training run: each whole or absent, and the newest that is sound is found again.

They are not reported to Ray Train. Its list of checkpoints is written in place, and a run whose list is cut short or
names a checkpoint that is gone or damaged does not start; it knows nothing of a checkpoint written just before a worker
died; and each report waits for all workers and for the controller's next look at them. The folder itself,
each checkpoint under its own seal, is list enough: a new group of workers and a new driver find the same.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import torch
from pyarrow import fs

import neuronedit
from neuronedit.adapters.files.storage import Location, storage_errors
from neuronedit.arrays import Float32s, Texts
from neuronedit.errors import CheckpointError, StorageError
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.state import TrainingState

EPOCH = "epoch-"
"""Prefix of a checkpoint's folder; the number of epochs that it has behind it follows."""


@dataclass(frozen=True)
class ResumePoint:
    """The newest sound checkpoint, and the faults of newer ones.

    Attributes:
        state: The newest sound state; None if training starts from zero.
        problems: A sentence for each newer, damaged checkpoint, with the one that training goes on from; for the log.
    """

    state: TrainingState | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run, in a folder of its own that all nodes reach.

    Two drivers that train the same write the same there; neither needs to know of the other.

    Attributes:
        folder: ``epoch-000012`` in it is the state after 12 epochs.
    """

    folder: Location

    def write(self, state: TrainingState, keep: int) -> int:
        """Write a checkpoint, whole or not at all, and then remove old ones.

        Args:
            state: The content of the checkpoint.
            keep: Number of checkpoints to keep, this one included.

        Returns:
            The number of epochs behind it.

        Raises:
            StorageError: The storage fails, or is full.
        """
        place = self.folder / f"{EPOCH}{state.epoch:06d}"
        try:
            for name, content in state.files().items():  # the file that vouches for the others comes last
                (place / name).write_bytes(content)
        except StorageError as error:
            place.delete_folder()
            raise StorageError(
                f"The checkpoint after epoch {state.epoch} cannot be written; earlier ones are as they were. {error} "
                "Then run the same command again: it goes on from the last one."
            ) from error
        for old in self._places()[keep:]:
            old.delete_folder()
        return state.epoch

    def read(self, epoch: int) -> TrainingState:
        """Read the checkpoint after an epoch.

        Raises:
            CheckpointError: It is damaged, or not there.
            StorageError: The storage fails.
        """
        place = self.folder / f"{EPOCH}{epoch:06d}"
        return TrainingState.parse(_contents(place), place.path)

    def newest(self) -> ResumePoint:
        """Find the newest sound checkpoint; damaged newer ones are removed, so that each is reported once.

        Raises:
            StorageError: The storage fails.
        """
        damage: list[str] = []
        for place in self._places():
            try:
                state = self.read(int(place.path.rpartition(EPOCH)[2]))
            except CheckpointError as error:
                damage.append(str(error))
                place.delete_folder()
                continue
            instead = f"training goes on from {PurePosixPath(place.path).name}"
            return ResumePoint(state, tuple(f"{problem} Instead, {instead}." for problem in damage))
        return ResumePoint(None, tuple(f"{problem} None is left: training starts from zero." for problem in damage))

    def _places(self) -> list[Location]:
        """The checkpoints' folders, newest first."""
        with storage_errors(self.folder.path):
            found = self.folder.filesystem.get_file_info(fs.FileSelector(self.folder.path, allow_not_found=True))
        names = sorted((info.base_name for info in found if info.base_name.startswith(EPOCH)), reverse=True)
        return [self.folder / name for name in names]


def run_digest(
    populations: Mapping[str, Float32s],
    samples: Mapping[str, Texts] | None,
    architecture: Architecture,
    plan: TrainingPlan,
    stream_digest: str = "",
) -> str:
    """SHA-256 of everything that decides the result of a training.

    The events themselves are part of it, standardised as they are trained on, and with them the data, the panel, the
    drawn sample and the scaling; the number of workers is not: they share the same minibatches.

    Args:
        populations: Standardised markers, (n_events, n_markers) float32 each.
        samples: By population, (n_events,) the sample of each event, where they are known.
        architecture: The network's.
        plan: The training plan.
        stream_digest: Digest of the stream that reads the events; empty without a stream.
    """
    versions = {"neuronedit": neuronedit.__version__, "torch": torch.__version__}
    settings = {"architecture": architecture.model_dump(), "plan": plan.model_dump(), **versions}
    settings |= {"stream": stream_digest} if stream_digest else {}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, events in populations.items():
        digest.update(json.dumps([name, events.shape]).encode())
        digest.update(np.ascontiguousarray(events, dtype=np.float32).data)
        if samples and name in samples:
            digest.update("\0".join(map(str, samples[name])).encode())
    return digest.hexdigest()


def _contents(place: Location) -> dict[str, bytes]:
    return {info.base_name: Location(place.filesystem, info.path).read_bytes() for info in place.files()}
