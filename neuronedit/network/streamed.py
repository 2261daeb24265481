"""Minibatches of events that do not fit in memory: read block by block, shuffled within windows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from neuronedit.arrays import Floats, Texts
from neuronedit.cells.events import one_ahead
from neuronedit.network.minibatches import Minibatch, MinibatchOrigin
from neuronedit.network.plan import TrainingPlan

SHUFFLES = 2
"""The stream of random numbers that shuffles windows, apart from others drawn from the same seed."""


class EventBlock(NamedTuple):
    """Events of one population.

    Attributes:
        events: (n_events, n_markers) float32, standardised.
        samples: (n_events,) name of each event's sample.
    """

    events: Floats
    samples: Texts


@dataclass(frozen=True)
class Window:
    """Equally many events of every population, in memory for some steps.

    Attributes:
        events: (n_populations * n_window, n_markers) float32, standardised, on the network's device, in reading order.
        samples: (n_populations * n_window,) name of each event's sample.
        order: (n_populations, n_window) int64, each population's rows of ``events``, shuffled.
    """

    events: Tensor
    samples: Texts
    order: Tensor


@dataclass(frozen=True)
class Streamed:
    """Minibatches of events that are read while training goes on; every population has its share of each.

    Each population is a stream of its own: its blocks in random order, again and again. A window holds equally many
    events of each population, and every population is shuffled within it; while the network trains on one window, a
    thread reads the next.

    An epoch's events depend on its number, the seed, the number of workers and the window; every worker reads its own
    blocks, so that with another number of workers the same events meet in other minibatches.

    Attributes:
        sizes: Number of events for training over all workers, by population.
        blocks: (population, epoch) → an endless stream of this worker's blocks, in the epoch's random order.
        window: Events of each population in a window, for this worker.
        validation: (n, n_markers) events held out, by population.
        plan: Minibatch and seed.
        markers: The markers' names, for messages; empty if they are unknown.
        rank: This worker's number, from 0.
        n_workers: Workers that share each minibatch.
        device: The network's device.

    Example:
        >>> def blocks(population, epoch):
        ...     while True:
        ...         yield EventBlock(np.full((5, 2), population == "target", np.float32), np.full(5, "w1", object))
        >>> streamed = Streamed({"source": 20, "target": 20}, blocks, 10, {}, TrainingPlan(minibatch=8))
        >>> [minibatch.events.mean(0).tolist() for minibatch in streamed.epoch(1)][:2]
        [[0.5, 0.5], [0.5, 0.5]]
    """

    sizes: Mapping[str, int]
    blocks: Callable[[str, int], Iterator[EventBlock]]
    window: int
    validation: Mapping[str, Tensor]
    plan: TrainingPlan
    markers: Sequence[str] = ()
    rank: int = 0
    n_workers: int = 1
    device: torch.device | str = "cpu"

    @property
    def populations(self) -> Sequence[str]:
        """The populations' names."""
        return tuple(self.sizes)

    @property
    def share(self) -> int:
        """Events of each population in a minibatch: the plan's minibatch, divided and rounded, at least 1."""
        return max(1, round(self.plan.minibatch / len(self.sizes)))

    @property
    def own_share(self) -> int:
        """This worker's events of each population in a minibatch."""
        return len(range(self.rank, self.share, self.n_workers))

    @property
    def n_steps(self) -> int:
        """Minibatches of an epoch, which draws about as many events as all populations have."""
        return max(1, -(-sum(self.sizes.values()) // (self.share * len(self.sizes))))

    def epoch(self, number: int) -> Iterator[Minibatch]:
        """Give this worker's slice of each minibatch of an epoch; epochs count from 1."""
        for window in one_ahead(self.windows(number)):
            for rows in window.order.split(self.own_share, dim=1):
                yield Minibatch(window.events.index_select(0, rows.flatten()), self.share * len(self.sizes))

    def held_out(self) -> Mapping[str, Tensor]:
        """This worker's part of the validation events, by population."""
        return {name: events[self.rank :: self.n_workers] for name, events in self.validation.items()}

    def origin(self, epoch: int, step: int) -> MinibatchOrigin:
        """Read the epoch again to find the events of this worker's slice of a minibatch; steps count from 0."""
        start = step * self.own_share
        for window in self.windows(epoch):
            if start < window.order.shape[1]:
                break
            start -= window.order.shape[1]
        rows = dict(zip(self.sizes, window.order[:, start : start + self.own_share], strict=True))
        return MinibatchOrigin(
            {name: window.events[found] for name, found in rows.items()},
            {name: window.samples[found.cpu().numpy()] for name, found in rows.items()},
        )

    def windows(self, epoch: int) -> Iterator[Window]:
        """Read an epoch's windows, one after another."""
        generator = np.random.default_rng([self.plan.seed, epoch, SHUFFLES, self.rank])
        streams = [_Stream(self.blocks(name, epoch)) for name in self.sizes]
        left = self.n_steps
        while left:
            steps = min(left, max(1, self.window // self.own_share))
            left -= steps
            n_window = steps * self.own_share
            events = np.empty((len(streams) * n_window, streams[0].n_markers), np.float32)
            samples = np.empty(len(events), object)
            starts = range(0, len(events), n_window)
            for start, stream in zip(starts, streams, strict=True):
                stream.fill(events[start : start + n_window], samples[start : start + n_window])
            order = torch.from_numpy(np.stack([start + generator.permutation(n_window) for start in starts]))
            yield Window(torch.from_numpy(events).to(self.device), samples, order.to(self.device))


class _Stream:
    """A stream of one population's events, cut from blocks of any size."""

    def __init__(self, blocks: Iterator[EventBlock]) -> None:
        self._blocks = blocks
        self._rest = next(blocks)

    @property
    def n_markers(self) -> int:
        """The number of markers."""
        return self._rest.events.shape[1]

    def fill(self, events: Floats, samples: Texts) -> None:
        """Fill arrays, (n, n_markers) and (n,), with the next events and their samples' names."""
        filled = 0
        while filled < len(events):
            if not len(self._rest.events):
                self._rest = next(self._blocks)
            found, n_free = self._rest, len(events) - filled
            end = filled + min(n_free, len(found.events))
            events[filled:end], samples[filled:end] = found.events[:n_free], found.samples[:n_free]
            self._rest = EventBlock(found.events[n_free:], found.samples[n_free:])
            filled = end
