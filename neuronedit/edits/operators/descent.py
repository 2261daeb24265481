"""Gradient descent on the energy distance, by which operators learn a shift from all markers jointly."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from neuronedit.arrays import Floats
from neuronedit.errors import ModelError
from neuronedit.network.autoencoder import tensor

N_STEPS = 300
MINIBATCH = 384


class Minibatches:
    """Random rows of a source, and random events of a target, drawn by its weights."""

    def __init__(self, n_source: int, target: Tensor, target_weights: Floats | None, seed: int) -> None:
        self._n_source, self._target = n_source, target
        self._chances = torch.ones(len(target)) if target_weights is None else tensor(target_weights.astype("float32"))
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Draw ``MINIBATCH`` rows of the source, with replacement, and as many events of the target."""
        rows = torch.randint(self._n_source, (MINIBATCH,), generator=self.generator)
        chosen = torch.multinomial(self._chances, MINIBATCH, replacement=True, generator=self.generator)
        return rows, self._target[chosen]


def apart(moved: Tensor, target: Tensor) -> Tensor:
    """Compute the energy distance of moved events to a target's, less what only the target decides.

    It is 2 E|X − T| − E|X − X'|, for (n_events, n_markers) each; the least value is where X is distributed as T.

    Source: Székely & Rizzo 2013, J. Stat. Plan. Inference 143(8), equation 5; it has no width to choose.

    Example:
        >>> target = torch.tensor([[0.0], [2.0]])
        >>> [float(apart(target + by, target)) for by in (0, 1)]
        [1.0, 2.0]
    """
    return 2 * torch.cdist(moved, target).mean() - torch.cdist(moved, moved).mean()


def descend(
    weights: Sequence[Tensor], loss: Callable[[], Tensor], rate: float, operator: str, weight_decay: float = 0.0
) -> None:
    """Lower a loss by ``N_STEPS`` steps of AdamW, whose rate falls to nothing along a cosine.

    Args:
        weights: What is learned, changed in place.
        loss: Computes it for a minibatch of its own.
        rate: The first step's.
        operator: The operator's name, for the message.
        weight_decay: AdamW's.

    Raises:
        ModelError: The loss is not finite.

    Example:
        >>> weight = torch.tensor([3.0], requires_grad=True)
        >>> descend([weight], lambda: (weight**2).sum(), 0.5, "trained")
        >>> bool(weight.abs() < 0.2)
        True
    """
    optimiser = torch.optim.AdamW(weights, lr=rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, N_STEPS)
    for _ in range(N_STEPS):
        found = loss()
        if not torch.isfinite(found):
            raise ModelError(
                f"The operator {operator!r} diverged: its loss is not finite. Look for extreme intensities, or take "
                "another operator for this step."
            )
        optimiser.zero_grad(set_to_none=True)
        found.backward()
        optimiser.step()
        schedule.step()


@contextmanager
def one_thread() -> Iterator[None]:
    """Restrict torch to one thread: more gain nothing on matrices this small and would sum in another order.

    Example:
        >>> with one_thread():
        ...     torch.get_num_threads()
        1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
