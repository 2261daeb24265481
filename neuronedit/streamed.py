"""Minibatches of events that do not fit in memory: read block by block, shuffled within windows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from neuronedit.minibatches import Minibatch, Origin
from neuronedit.read_ahead import one_ahead
from neuronedit.scaling import FloatArray
from neuronedit.training_plan import TrainingPlan
from neuronedit.validation_split import Texts

SHUFFLES = 2
"""Tells apart the windows' shuffles from what else is drawn from the same seed."""


class EventBlock(NamedTuple):
    """Events of one population.

    Attributes:
        events: (n_events, n_markers) float32, standardised.
        samples: (n_events,) the sample that each is from.
    """

    events: FloatArray
    samples: Texts


@dataclass(frozen=True)
class Window:
    """Events of every population, in memory for some steps.

    Attributes:
        events: (n_populations * n_window, n_markers) float32, on the network's device, as they were read.
        samples: (n_populations * n_window,) the sample that each is from.
        order: (n_populations, n_window) int64, each population's rows shuffled.
    """

    events: Tensor
    samples: Texts
    order: Tensor


@dataclass(frozen=True)
class Streamed:
    """Minibatches of events that are read while training goes on; every population has its share of each.

    Each population is a stream of its own, gone through in a random order of its blocks, again and again. A window
    holds equally many events of each and is shuffled as a whole; while it is trained on, the next one is read in a
    thread.

    An epoch's events depend on its number, the seed, the number of workers and the window; every worker reads its own
    blocks, so that with another number of workers the same events meet in other minibatches.

    Attributes:
        sizes: By population, its events for training, over all workers.
        blocks: An endless stream of blocks of a population in an epoch: those of this worker, in an order of their own.
        window: Events of each population in a window, for this worker.
        validation: By population, the events held out.
        plan: Minibatch and seed.
        markers: Their names, for messages; none where they are not known.
        rank: This worker's number, from 0.
        n_workers: How many workers share each minibatch.
        device: The network's.
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
        """Events of each population in a minibatch: the nearest that gives each population equally many."""
        return max(1, round(self.plan.minibatch / len(self.sizes)))

    @property
    def own_share(self) -> int:
        """Of these, this worker's."""
        return len(range(self.rank, self.share, self.n_workers))

    @property
    def n_steps(self) -> int:
        """Minibatches of an epoch: it draws as many events as there are."""
        return max(1, -(-sum(self.sizes.values()) // (self.share * len(self.sizes))))

    def epoch(self, number: int) -> Iterator[Minibatch]:
        """This worker's slice of each minibatch of an epoch, counted from 1."""
        for window in one_ahead(self.windows(number)):
            for rows in window.order.split(self.own_share, dim=1):
                yield Minibatch(window.events.index_select(0, rows.flatten()), self.share * len(self.sizes))

    def held_out(self) -> Mapping[str, Tensor]:
        """By population, this worker's part of the validation events."""
        return {name: events[self.rank :: self.n_workers] for name, events in self.validation.items()}

    def origin(self, epoch: int, step: int) -> Origin:
        """What this worker's slice of a minibatch was made of; its step counts from 0. The epoch is read again."""
        start = step * self.own_share
        for window in self.windows(epoch):
            if start < window.order.shape[1]:
                break
            start -= window.order.shape[1]
        rows = dict(zip(self.sizes, window.order[:, start : start + self.own_share], strict=True))
        return Origin(
            {name: window.events[found] for name, found in rows.items()},
            {name: window.samples[found.cpu().numpy()] for name, found in rows.items()},
        )

    def windows(self, epoch: int) -> Iterator[Window]:
        """An epoch's windows, one after another."""
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
    """Events from blocks of any size."""

    def __init__(self, blocks: Iterator[EventBlock]) -> None:
        self._blocks = blocks
        self._rest = next(blocks)

    @property
    def n_markers(self) -> int:
        """How many markers an event has."""
        return self._rest.events.shape[1]

    def fill(self, events: FloatArray, samples: Texts) -> None:
        """Put the next events, and their samples, into (n, n_markers) and (n,)."""
        filled = 0
        while filled < len(events):
            if not len(self._rest.events):
                self._rest = next(self._blocks)
            found, n_free = self._rest, len(events) - filled
            end = filled + min(n_free, len(found.events))
            events[filled:end], samples[filled:end] = found.events[:n_free], found.samples[:n_free]
            self._rest = EventBlock(found.events[n_free:], found.samples[n_free:])
            filled = end
