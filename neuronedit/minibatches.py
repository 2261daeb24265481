"""Where training's events come from: minibatches with equally many events of each population."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from neuronedit.errors import ConfigError
from neuronedit.percentiles import FloatArray
from neuronedit.training_plan import TrainingPlan
from neuronedit.validation_split import Split, Texts, split


@dataclass(frozen=True)
class Minibatch:
    """One worker's slice of a minibatch.

    Attributes:
        events: (n_slice, n_markers) float32 standardised markers, on the network's device.
        size: Events of the whole minibatch, over all workers.
    """

    events: Tensor
    size: int


@dataclass(frozen=True)
class Origin:
    """What a minibatch was made of, for a message.

    Attributes:
        events: By population, its (n, n_markers) events of the whole minibatch, over all workers.
        samples: By population, the sample of each; left out where it is not known.
    """

    events: Mapping[str, Tensor]
    samples: Mapping[str, Texts]


class Minibatches(Protocol):
    """A source of minibatches, as one worker sees it.

    An epoch depends on its number and the seed alone, not on what was drawn before: training that is resumed, and a
    minibatch that is looked for again, get the same events.
    """

    @property
    def populations(self) -> Sequence[str]:
        """The populations' names."""

    @property
    def markers(self) -> Sequence[str]:
        """The markers' names, for messages; none where they are not known."""

    @property
    def rank(self) -> int:
        """This worker's number, from 0."""

    @property
    def n_workers(self) -> int:
        """How many workers share each minibatch."""

    def epoch(self, number: int) -> Iterator[Minibatch]:
        """This worker's slice of each minibatch of an epoch, counted from 1."""

    def held_out(self) -> Mapping[str, Tensor]:
        """By population, this worker's part of the validation events, (n, n_markers) on the network's device.

        Every population that has validation events on any worker is there on all, if only with no rows.
        """

    def origin(self, epoch: int, step: int) -> Origin:
        """What a minibatch of an epoch was made of; its step counts from 0."""


@dataclass(frozen=True)
class InMemory:
    """Minibatches of events that lie in one tensor, on the device, where they are shuffled, too.

    Every worker holds all events, draws the same minibatches and takes its slice of every one. So the result does
    not depend on their number, but for the order in which floating-point sums are made.

    Attributes:
        events: (n_events, n_markers) float32, those for training, one population after another.
        sizes: By population, how many of these.
        validation: By population, the events held out.
        split: What is held out.
        plan: Minibatch and seed.
        samples: The sample of each of ``events``, by population, where they are known.
        markers: Their names, for messages; none where they are not known.
        rank: This worker's number, from 0.
        n_workers: How many workers share each minibatch.
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
    def of(
        cls,
        populations: Mapping[str, FloatArray],
        plan: TrainingPlan,
        *,
        samples: Mapping[str, Texts] | None = None,
        markers: Sequence[str] = (),
        rank: int = 0,
        n_workers: int = 1,
        device: torch.device | str = "cpu",
    ) -> "InMemory":
        """Hold out validation events, and move all to the device.

        Args:
            populations: Standardised markers, (n_events, n_markers) float32 each.
            plan: Minibatch, share of events held out, seed.
            samples: By population, (n_events,) the sample of each event, where they are known.
            markers: Their names, for messages.
            rank: This worker's number, from 0.
            n_workers: How many workers share each minibatch.
            device: The network's.

        Raises:
            ConfigError: A minibatch has fewer events than there are workers.
            DataError: A population has not as many samples' names as events.
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
        """Events of each population in a minibatch: the nearest that gives each population equally many."""
        return round(self.plan.minibatch / len(self.sizes))

    @property
    def n_steps(self) -> int:
        """Minibatches of an epoch: it draws as many events as there are."""
        return max(1, -(-sum(self.sizes.values()) // (self.share * len(self.sizes))))

    def epoch(self, number: int) -> Iterator[Minibatch]:
        """This worker's slice of each minibatch of an epoch, counted from 1."""
        order = self.order(number)
        for rows in order[:, self.rank :: self.n_workers]:
            yield Minibatch(self.events.index_select(0, rows), order.shape[1])

    def held_out(self) -> Mapping[str, Tensor]:
        """By population, this worker's part of the validation events."""
        return {name: events[self.rank :: self.n_workers] for name, events in self.validation.items()}

    def origin(self, epoch: int, step: int) -> Origin:
        """What a minibatch of an epoch was made of; its step counts from 0."""
        rows = self.order(epoch)[step].reshape(len(self.sizes), self.share).cpu()
        starts = dict(zip(self.sizes, _starts(list(self.sizes.values())), strict=True))
        by_population = dict(zip(self.sizes, rows, strict=True))
        return Origin(
            {name: self.events[rows.to(self.events.device)] for name, rows in by_population.items()},
            {name: names[(by_population[name] - starts[name]).numpy()] for name, names in self.samples.items()},
        )

    def order(self, epoch: int) -> Tensor:
        """The rows of an epoch's minibatches: (n_steps, n_populations * share) int64, population by population.

        Each population is shuffled, and shuffled again and gone through again as often as needed.
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
        ConfigError: A minibatch has fewer.
    """
    if plan.minibatch < n_workers * n_populations:
        raise ConfigError(
            f"training.minibatch is {plan.minibatch}; expected at least {n_workers * n_populations}: one event of each "
            f"of {n_populations} populations for each of {n_workers} workers. Raise it, or lower workers.count."
        )


def epoch_generator(seed: int, epoch: int, device: torch.device, stream: int = 0) -> torch.Generator:
    """Random numbers of one epoch of one run.

    Args:
        seed: The run's.
        epoch: Its number.
        device: Where they are drawn; on another one they are others.
        stream: Tells apart what is drawn for different ends.
    """
    state = np.random.SeedSequence([seed, epoch, stream]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state >> np.uint64(1)))  # torch takes a signed number


def _endless_shuffle(size: int, length: int, generator: torch.Generator) -> Tensor:
    rounds = [torch.randperm(size, generator=generator, device=generator.device) for _ in range(-(-length // size))]
    return torch.cat(rounds)[:length]


def _starts(sizes: Sequence[int]) -> list[int]:
    return [0, *np.cumsum(sizes)[:-1].tolist()]
