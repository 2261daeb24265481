"""Minibatches with equally many events of each population, drawn from events in memory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from neuronedit.arrays import Float32s, Texts
from neuronedit.cells.split import Split, split
from neuronedit.errors import ConfigError
from neuronedit.network.plan import TrainingPlan


@dataclass(frozen=True)
class Minibatch:
    """One worker's slice of a minibatch.

    Attributes:
        events: (n_slice, n_markers) float32, standardised, on the network's device.
        size: Events of the whole minibatch, over all workers.
    """

    events: Tensor
    size: int


@dataclass(frozen=True)
class MinibatchOrigin:
    """The events of a minibatch by population, for error messages.

    Attributes:
        events: (n, n_markers) float32, standardised events of the whole minibatch, by population.
        samples: (n,) name of each event's sample, by population; populations whose samples are unknown are left out.
    """

    events: Mapping[str, Tensor]
    samples: Mapping[str, Texts]


class Minibatches(Protocol):
    """A source of minibatches, as one worker sees it.

    An epoch depends on its number and the seed alone, not on earlier draws: training that is resumed, and a minibatch
    that is looked for again, get the same events.
    """

    @property
    def populations(self) -> Sequence[str]:
        """The populations' names."""

    @property
    def markers(self) -> Sequence[str]:
        """The markers' names, for messages; empty if they are unknown."""

    @property
    def rank(self) -> int:
        """This worker's number, from 0."""

    @property
    def n_workers(self) -> int:
        """The number of workers that share each minibatch."""

    def epoch(self, number: int) -> Iterator[Minibatch]:
        """Give this worker's slice of each minibatch of an epoch; epochs count from 1."""

    def held_out(self) -> Mapping[str, Tensor]:
        """This worker's part of the validation events by population, (n, n_markers) on the network's device.

        A population that has validation events on any worker has an entry on all, if need be with no rows.
        """

    def origin(self, epoch: int, step: int) -> MinibatchOrigin:
        """Find the events of a minibatch again; epochs count from 1, steps from 0."""


@dataclass(frozen=True)
class InMemory:
    """Minibatches of events that lie in one tensor on the network's device and are shuffled there.

    Every worker holds all events, draws the same minibatches and takes its slice of every one. So the result does
    not depend on the number of workers, but for the order in which floating-point sums are made.

    Attributes:
        events: (n_events, n_markers) float32, standardised events for training, one population after another.
        sizes: Number of these events, by population.
        validation: (n, n_markers) events held out, by population.
        split: The choice of the events held out.
        plan: Minibatch and seed.
        samples: (n,) name of each training event's sample, by population; unknown ones are left out.
        markers: The markers' names, for messages; empty if they are unknown.
        rank: This worker's number, from 0.
        n_workers: Workers that share each minibatch.
    """

    events: Tensor
    sizes: Mapping[str, int]
    validation: Mapping[str, Tensor]
    split: Split
    plan: TrainingPlan
    samples: Mapping[str, Texts]
    markers: Sequence[str] = ()
    rank: int = 0
    n_workers: int = 1

    @classmethod
    def from_populations(
        cls,
        populations: Mapping[str, Float32s],
        plan: TrainingPlan,
        *,
        samples: Mapping[str, Texts] | None = None,
        markers: Sequence[str] = (),
        rank: int = 0,
        n_workers: int = 1,
        device: torch.device | str = "cpu",
    ) -> "InMemory":
        """Hold out validation events, and move all events to the device.

        Args:
            populations: (n_events, n_markers) float32 each, standardised, by name.
            plan: Minibatch, share of events held out, seed.
            samples: (n_events,) name of each event's sample, by population, if they are known.
            markers: The markers' names, for messages.
            rank: This worker's number, from 0.
            n_workers: Workers that share each minibatch.
            device: The network's device.

        Raises:
            ConfigError: A minibatch has too few events for one of each population on every worker.
            DataError: A population has not as many samples' names as events.

        Example:
            >>> populations = {"source": np.zeros((100, 2), np.float32), "target": np.ones((20, 2), np.float32)}
            >>> minibatches = InMemory.from_populations(populations, TrainingPlan(minibatch=10))
            >>> next(minibatches.epoch(1)).events.mean(0).tolist()
            [0.5, 0.5]
        """
        check_minibatch(plan, len(populations), n_workers)
        sizes = {name: len(events) for name, events in populations.items()}
        found = split(sizes, plan.validation_fraction, plan.seed, samples)
        kept = {name: events[~found.held_out[name]] for name, events in populations.items()}
        validation = {name: events[found.held_out[name]] for name, events in populations.items()}
        # Populations of one event have none to spare; if all are such, training's loss stands for the other.
        validation = {name: events for name, events in validation.items() if len(events)} or kept
        return cls(
            torch.from_numpy(np.concatenate(list(kept.values()))).to(device),
            {name: len(events) for name, events in kept.items()},
            {name: torch.from_numpy(events).to(device) for name, events in validation.items()},
            found,
            plan,
            {name: names[~found.held_out[name]] for name, names in (samples or {}).items() if name in sizes},
            markers,
            rank,
            n_workers,
        )

    @property
    def populations(self) -> Sequence[str]:
        """The populations' names."""
        return tuple(self.sizes)

    @property
    def share(self) -> int:
        """Events of each population in a minibatch: the plan's minibatch, divided and rounded."""
        return round(self.plan.minibatch / len(self.sizes))

    @property
    def n_steps(self) -> int:
        """Minibatches of an epoch, which draws about as many events as all populations have."""
        return max(1, -(-sum(self.sizes.values()) // (self.share * len(self.sizes))))

    def epoch(self, number: int) -> Iterator[Minibatch]:
        """Give this worker's slice of each minibatch of an epoch; epochs count from 1."""
        order = self.order(number)
        for rows in order[:, self.rank :: self.n_workers]:
            yield Minibatch(self.events.index_select(0, rows), order.shape[1])

    def held_out(self) -> Mapping[str, Tensor]:
        """This worker's part of the validation events, by population."""
        return {name: events[self.rank :: self.n_workers] for name, events in self.validation.items()}

    def origin(self, epoch: int, step: int) -> MinibatchOrigin:
        """Find the events of a minibatch again; epochs count from 1, steps from 0."""
        rows = self.order(epoch)[step].reshape(len(self.sizes), self.share).cpu()
        starts = dict(zip(self.sizes, _starts(list(self.sizes.values())), strict=True))
        by_population = dict(zip(self.sizes, rows, strict=True))
        return MinibatchOrigin(
            {name: self.events[rows.to(self.events.device)] for name, rows in by_population.items()},
            {name: names[(by_population[name] - starts[name]).numpy()] for name, names in self.samples.items()},
        )

    def order(self, epoch: int) -> Tensor:
        """Draw the rows of an epoch's minibatches: (n_steps, n_populations * share) int64, population by population.

        A population that is used up within the epoch is shuffled anew and repeated.
        """
        generator = epoch_generator(self.plan.seed, epoch, self.events.device)
        sizes = list(self.sizes.values())
        rows = torch.stack(
            [
                start + _endless_shuffle(size, self.n_steps * self.share, generator)
                for start, size in zip(_starts(sizes), sizes, strict=True)
            ]
        )
        return rows.view(len(sizes), self.n_steps, self.share).transpose(0, 1).reshape(self.n_steps, -1)


def check_minibatch(plan: TrainingPlan, n_populations: int, n_workers: int) -> None:
    """Check that every worker has an event of each population in every minibatch.

    Raises:
        ConfigError: A minibatch has too few events.

    Example:
        >>> check_minibatch(TrainingPlan(minibatch=4), n_populations=2, n_workers=2)
    """
    if plan.minibatch < n_workers * n_populations:
        raise ConfigError(
            f"training.minibatch is {plan.minibatch}; expected at least {n_workers * n_populations}: one event of each "
            f"of {n_populations} populations for each of {n_workers} workers. Raise it, or lower workers.count."
        )


def epoch_generator(seed: int, epoch: int, device: torch.device, stream: int = 0) -> torch.Generator:
    """Make the random generator of one epoch of one run.

    Args:
        seed: The run's seed.
        epoch: The epoch's number.
        device: The generator's device; another kind of device draws other numbers.
        stream: Another stream draws other numbers, independent of these.

    Example:
        >>> first, again = (epoch_generator(seed=0, epoch=1, device=torch.device("cpu")) for _ in range(2))
        >>> torch.equal(torch.rand(5, generator=first), torch.rand(5, generator=again))
        True
    """
    state = np.random.SeedSequence([seed, epoch, stream]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state >> np.uint64(1)))  # torch takes a signed number


def _endless_shuffle(size: int, length: int, generator: torch.Generator) -> Tensor:
    rounds = [torch.randperm(size, generator=generator, device=generator.device) for _ in range(-(-length // size))]
    return torch.cat(rounds)[:length]


def _starts(sizes: Sequence[int]) -> list[int]:
    return [0, *np.cumsum(sizes)[:-1].tolist()]
