"""A network that learns from one minibatch after another, with its optimiser and a penalty on duplicate neurons.

The penalty lowers the strongest correlations between the code's neurons, those on a tree that joins all neurons: other
neurons may share information. On planted cells (40 markers, a code of 32, 60 epochs, seeds 0, 1 and 2) a weight of 0.1
lowered the largest |r| of two neurons from 0.84, 0.82 and 0.84 to 0.42, 0.48 and 0.41, and left the reconstruction
error as it was, to within 3 %.

Source: Ballester, Casacuberta, Escalera 2023 (arXiv 2308.04870), who maximise the mean weight of the minimum spanning
tree of correlation dissimilarities, here 1 − |r|.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor, nn

from neuronedit.errors import CheckpointError
from neuronedit.network.autoencoder import Autoencoder
from neuronedit.network.captured_step import CapturedStep, Update
from neuronedit.network.minibatches import Minibatch
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.state import EpochLosses, Tensors, TrainingState


@dataclass(frozen=True)
class Learner:
    """A network, its training plan and its optimiser.

    Attributes:
        network: The autoencoder, or its distributed wrapper.
        plan: Learning rate, noise, penalty, precision.
        rank: This worker's number, from 0.
        n_workers: Workers that share each minibatch; the wrapper averages their gradients.
        optimiser: AdamW, which without weight decay is Adam.
    """

    network: nn.Module
    plan: TrainingPlan
    rank: int
    n_workers: int
    optimiser: torch.optim.Optimizer

    @classmethod
    def from_network(cls, network: nn.Module, plan: TrainingPlan, rank: int = 0, n_workers: int = 1) -> "Learner":
        """Make a learner with a fresh optimiser for a network, see the attributes."""
        weights = list(network.parameters())
        on_gpu = weights[0].device.type == "cuda"
        # On a GPU the optimiser reads the rate from the GPU's memory.
        rate = torch.tensor(plan.learning_rate, device=weights[0].device) if on_gpu else plan.learning_rate
        optimiser = torch.optim.AdamW(weights, lr=rate, weight_decay=plan.weight_decay, fused=True, capturable=on_gpu)
        return cls(network, plan, rank, n_workers, optimiser)

    @property
    def model(self) -> nn.Module:
        """The autoencoder without its distributed wrapper."""
        return self.network.module if isinstance(self.network, nn.parallel.DistributedDataParallel) else self.network

    @property
    def device(self) -> torch.device:
        """The device of the network's weights."""
        return next(self.network.parameters()).device

    def step(self, minibatch: Minibatch, generator: torch.Generator) -> Tensor:
        """Learn from this worker's slice of a minibatch.

        Args:
            minibatch: The slice.
            generator: Draws the noise.

        Returns:
            () float32: the slice's share of the minibatch's mean squared reconstruction error.
        """
        return self._learn(minibatch.events, self._noise(minibatch, generator), minibatch.size)

    def state(self, history: Sequence[EpochLosses], best: Tensors) -> TrainingState:
        """Copy the training state: weights and optimiser as they are, history and best weights as given."""
        moments = self.optimiser.state_dict()["state"]
        flat = {f"{number}.{name}": moment for number, found in moments.items() for name, moment in found.items()}
        return TrainingState(self.plan.digest(), tuple(history), self.weights(), copied(flat), best)

    def weights(self) -> Tensors:
        """Copy the network's weights."""
        return copied(self.model.state_dict())

    def restore(self, state: TrainingState) -> None:
        """Load the weights and the optimiser of a training state.

        Raises:
            CheckpointError: The state is of another plan or network.
        """
        if state.plan_digest != self.plan.digest():
            raise CheckpointError(
                f"a state of training after epoch {state.epoch} is of other settings: expected those with the SHA-256 "
                f"{self.plan.digest()}, found {state.plan_digest}. Start anew, or set [training] as it was."
            )
        try:
            self.model.load_state_dict(state.weights)
        except RuntimeError as error:
            raise CheckpointError(
                f"a state of training after epoch {state.epoch} is of another network ({error}). "
                "Start anew, or set [autoencoder] and [panel] as they were."
            ) from error
        moments: dict[int, Tensors] = {}
        for key, moment in state.optimiser.items():
            number, _, name = key.partition(".")
            moments.setdefault(int(number), {})[name] = moment.clone()
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})

    @cached_property
    def _learn(self) -> Update:
        """The update, captured if one worker trains on a GPU and the processor computes no part of it."""
        alone = not isinstance(self.network, nn.parallel.DistributedDataParallel)
        if alone and self.device.type == "cuda" and not self.plan.decorrelation:
            return CapturedStep(self._update)
        return self._update

    def _update(self, events: Tensor, noise: Tensor | None, size: int) -> Tensor:
        """Learn from this worker's slice of a minibatch of that size; return the slice's share of the error."""
        self.optimiser.zero_grad(set_to_none=True)
        noisy = events if noise is None else events + noise
        # Slices that differ by one event must weigh by their size.
        weight = len(events) / size
        with _code(self.model, wanted=self.plan.decorrelation > 0) as code:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.plan.precision == "bfloat16"):
                error = nn.functional.mse_loss(self.network(noisy).float(), events)
            loss = error + self.plan.decorrelation * penalty(code[0].float()) if code else error
            (loss * (weight * self.n_workers)).backward()  # workers average their gradients
        self.optimiser.step()
        return error.detach() * weight

    def _noise(self, minibatch: Minibatch, generator: torch.Generator) -> Tensor | None:
        if not self.plan.noise:
            return None
        events = minibatch.events
        # Drawn for the whole minibatch, so that an event gets the same whichever worker has it.
        noise = torch.randn((minibatch.size, events.shape[1]), generator=generator, device=generator.device)
        return self.plan.noise * noise[self.rank :: self.n_workers][: len(events)]


def copied(tensors: Tensors) -> Tensors:
    """Copy tensors, so that they stay as they are when training goes on.

    Example:
        >>> weights = {"bias": torch.zeros(2)}
        >>> kept = copied(weights)
        >>> weights["bias"] += 1
        >>> kept
        {'bias': tensor([0., 0.])}
    """
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


EPSILON = 1e-6
"""A constant added to variances, so that a neuron whose activation never changes correlates with none."""


def penalty(code: Tensor) -> Tensor:
    """The mean of |r| over the edges of the spanning tree that joins the neurons by their strongest correlations.

    The tree is found without a gradient; its edges' correlations have one.

    Args:
        code: (n_events, n_neurons) float32, activations of a minibatch.

    Returns:
        () float32: 0 if no two neurons correlate, or if there is only one; 1 if all are duplicates of one another.

    Example:
        >>> line = torch.linspace(0, 1, 50)
        >>> round(float(penalty(torch.stack([line, -2 * line], 1))), 3)
        1.0
    """
    strength = correlations(code).abs()
    ends = _strongest_tree(strength.detach().cpu().double().numpy())
    return strength[ends[0], ends[1]].sum() / max(len(ends[0]), 1)


def correlations(code: Tensor) -> Tensor:
    """Pearson's correlations of the neurons: (n_events, n_neurons) → (n_neurons, n_neurons) float32.

    Example:
        >>> line = torch.linspace(0, 1, 50)
        >>> correlations(torch.stack([line, -2 * line], 1)).round(decimals=3).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]
    """
    centred = code - code.mean(0)
    scaled = centred / (centred.square().mean(0) + EPSILON).sqrt()
    return scaled.T @ scaled / len(code)


def _strongest_tree(strength: np.ndarray) -> tuple[Tensor, Tensor]:
    # Distances above 0 throughout: scipy takes a 0 for "no edge".
    tree = minimum_spanning_tree(2 - np.clip(strength, 0, 1)).tocoo()
    return torch.from_numpy(tree.row.astype(np.int64)), torch.from_numpy(tree.col.astype(np.int64))


@contextmanager
def _code(model: nn.Module, *, wanted: bool) -> Iterator[list[Tensor]]:
    """Collect the code's activations while the network runs: its distributed wrapper returns the output only."""
    code: list[Tensor] = []
    if not wanted:
        yield code
        return
    assert isinstance(model, Autoencoder)
    layer = model.layers[len(model.architecture.hidden)]
    hook = layer.register_forward_hook(lambda module, markers, activations: code.append(activations))
    try:
        yield code
    finally:
        hook.remove()
