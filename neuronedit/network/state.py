"""Losses of a training run, and the state from which training goes on as if it had never stopped.

The state is saved as two files, free of pickle.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from neuronedit.errors import CheckpointError


@dataclass(frozen=True)
class EpochLosses:
    """Mean squared reconstruction errors of standardised markers, after one epoch.

    Attributes:
        epoch: The epoch's number, from 1.
        train_loss: Mean over the epoch's minibatches.
        validation_loss: Mean over the populations' validation events.
    """

    epoch: int
    train_loss: float
    validation_loss: float


def best_epoch(history: Sequence[EpochLosses]) -> EpochLosses:
    """Find the epoch of the lowest validation loss, the earliest of equals.

    Example:
        >>> best_epoch([EpochLosses(1, 0.9, 0.8), EpochLosses(2, 0.5, 0.6), EpochLosses(3, 0.4, 0.7)]).epoch
        2
    """
    return min(history, key=lambda losses: losses.validation_loss)


def kept_epoch(history: Sequence[EpochLosses], patience: int | None) -> EpochLosses:
    """Find the epoch whose weights a finished run keeps: the best one with ``patience``, without it the last.

    Example:
        >>> history = [EpochLosses(1, 0.5, 0.6), EpochLosses(2, 0.4, 0.7)]
        >>> kept_epoch(history, patience=1).epoch, kept_epoch(history, patience=None).epoch
        (1, 2)
    """
    return history[-1] if patience is None else best_epoch(history)


def stalled(history: Sequence[EpochLosses], patience: int | None) -> bool:
    """Tell whether the validation loss has not improved for ``patience`` epochs; never without ``patience``.

    Example:
        >>> history = [EpochLosses(1, 0.5, 0.6), EpochLosses(2, 0.4, 0.7)]
        >>> stalled(history, patience=1), stalled(history, patience=2), stalled(history, patience=None)
        (True, False, False)
    """
    return patience is not None and bool(history) and history[-1].epoch - best_epoch(history).epoch >= patience


def finished(history: Sequence[EpochLosses], epochs: int, patience: int | None) -> bool:
    """Tell whether a run is at its end: it has had all its epochs, or has stalled.

    Example:
        >>> history = [EpochLosses(1, 0.5, 0.6), EpochLosses(2, 0.4, 0.7)]
        >>> finished(history, 2, None), finished(history, 60, None), finished(history, 60, patience=1)
        (True, False, True)
    """
    return len(history) >= epochs or stalled(history, patience)


STATE_FORMAT = 1
FACTS, ARRAYS = "state.json", "state.safetensors"

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class TrainingState:
    """Weights, optimiser and losses after an epoch.

    It has no state of a random generator: minibatches and noise depend on the seed and the epoch's number alone.

    Attributes:
        plan_digest: SHA-256 of the training plan, ``TrainingPlan.digest``.
        history: The losses of all epochs so far.
        weights: The network's weights, by name.
        optimiser: Adam's moments and steps, by ``NUMBER.MOMENT``, the parameter's number and the moment's name.
        best: The weights of the best epoch; empty if the last epoch's are to be kept.
    """

    plan_digest: str
    history: tuple[EpochLosses, ...]
    weights: Tensors
    optimiser: Tensors
    best: Tensors

    @property
    def epoch(self) -> int:
        """The number of epochs trained."""
        return len(self.history)

    def files(self) -> dict[str, bytes]:
        """Give the contents of the state's files by name; the last one holds the SHA-256 of both."""
        arrays = safetensors.torch.save(_flat(self))
        facts = {"plan_digest": self.plan_digest, "history": [asdict(losses) for losses in self.history]}
        sealed = {"format": STATE_FORMAT, "sha256": _seal(facts, arrays), **facts}
        return {ARRAYS: arrays, FACTS: json.dumps(sealed).encode()}

    @classmethod
    def parse(cls, files: Mapping[str, bytes], where: str) -> "TrainingState":
        """Read a state from the contents of its files; training goes on from it with the same bits.

        Args:
            files: Contents by name, as ``files`` gave them.
            where: The files' folder, for messages.

        Raises:
            CheckpointError: A file is missing or damaged, or of another format.

        Example:
            >>> state = TrainingState("digest", (EpochLosses(1, 0.5, 0.6),), {}, {}, {})
            >>> TrainingState.parse(state.files(), "checkpoint") == state
            True
        """
        missing = [name for name in (FACTS, ARRAYS) if name not in files]
        if missing:
            raise CheckpointError(
                f"{where}: not a state of training; expected {FACTS} and {ARRAYS}, found no {missing[0]}. "
                "Go on from an earlier checkpoint, or from none."
            )
        try:
            facts = json.loads(files[FACTS])
        except ValueError as error:
            raise _damaged(f"{where}/{FACTS}", "valid JSON", str(error)) from error
        found = facts.pop("format", None) if isinstance(facts, dict) else None
        if found != STATE_FORMAT:
            raise _damaged(f"{where}/{FACTS}", f"format {STATE_FORMAT}", repr(found))
        expected, found = facts.pop("sha256", None), _seal(facts, files[ARRAYS])
        if found != expected:
            raise _damaged(f"{where}/{ARRAYS}", f"the SHA-256 {expected} of {FACTS} beside it", found)
        try:
            return _parsed(facts, safetensors.torch.load(files[ARRAYS]))
        except (KeyError, TypeError, SafetensorError) as error:
            raise _damaged(where, "a whole state", f"{type(error).__name__}: {error}") from error


def _flat(state: TrainingState) -> Tensors:
    parts = {"weights": state.weights, "optimiser": state.optimiser, "best": state.best}
    return {
        f"{part}/{name}": array.cpu().contiguous() for part, found in parts.items() for name, array in found.items()
    }


def _parsed(facts: Mapping[str, Any], arrays: Tensors) -> TrainingState:
    parts: dict[str, Tensors] = {"weights": {}, "optimiser": {}, "best": {}}
    for key, array in arrays.items():
        part, _, name = key.partition("/")
        parts[part][name] = array
    history = tuple(EpochLosses(**losses) for losses in facts["history"])
    return TrainingState(facts["plan_digest"], history, **parts)


def _seal(facts: Mapping[str, Any], arrays: bytes) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode() + arrays).hexdigest()


def _damaged(where: str, expected: str, found: str) -> CheckpointError:
    return CheckpointError(
        f"{where}: damaged; expected {expected}, found {found}. Go on from an earlier checkpoint, or from none."
    )
