"""Which events are kept for validation: whole samples where there are several, so that no sample is on both sides."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuronedit.errors import DataError, listing
from neuronedit.events import lowest, row_priorities

BoolArray = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.object_]

LARGEST_SHARE = 1 / 3
"""A sample with more of its population's events is never held out: too little would be left to learn from."""


@dataclass(frozen=True)
class Split:
    """What is held out of each population.

    Attributes:
        held_out: By population, (n_events,) whether an event is held out.
        samples: By population, the samples held out; none where it was split by events.
    """

    held_out: Mapping[str, BoolArray]
    samples: Mapping[str, tuple[str, ...]]

    @property
    def by_event(self) -> tuple[str, ...]:
        """The populations that had to be split by events."""
        return tuple(name for name, samples in self.samples.items() if not samples)

    @property
    def sentence(self) -> str:
        """What was held out, for the log."""
        count = len(self.samples) - len(self.by_event)
        said = [f"validation on whole samples of {count} populations"] if count else []
        if self.by_event:
            said.append(
                f"validation on single events of {listing(self.by_event)}: of fewer than two known samples, or of "
                f"none with at most {LARGEST_SHARE:.0%} of the events; a loss on these does not show how it does on a "
                "new sample"
            )
        return "; ".join(said)


def split(sizes: Mapping[str, int], fraction: float, seed: int, samples: Mapping[str, Texts] | None = None) -> Split:
    """Choose what is held out; the same whatever the number of workers and whatever other populations there are.

    Samples are taken in an order that depends on their name and the seed alone, so that one that lies in several
    populations is held out of all of them where that can be.

    Args:
        sizes: Events of each population.
        fraction: About as much of each population is held out, in whole samples: between none and twice as much,
            or the smallest sample, where all are larger than that.
        seed: Another one holds out others.
        samples: By population, (n_events,) the sample of each event, where they are known.

    Raises:
        DataError: A population has not as many samples' names as events.
    """
    held_out, chosen = {}, {}
    for name, n_events in sizes.items():
        found = (samples or {}).get(name)
        if found is not None and len(found) != n_events:
            raise DataError(
                f"population {name!r}: expected the sample of each of {n_events} events, found {len(found)}. "
                "Give one for each event, or none."
            )
        chosen[name] = () if found is None else _choose_samples(found, fraction, seed)
        if found is not None and chosen[name]:
            held_out[name] = np.isin(found.astype(str), chosen[name])
        else:
            held_out[name] = _choose_events(name, n_events, fraction, seed)
    return Split(held_out, chosen)


def _choose_samples(samples: Texts, fraction: float, seed: int) -> tuple[str, ...]:
    counts = pd.Series(samples).astype(str).value_counts()
    names = sorted(counts.index, key=lambda name: int(row_priorities(name, 0, 1, seed)[0]))
    small = [name for name in names if counts[name] <= LARGEST_SHARE * len(samples)]
    goal = fraction * len(samples)
    chosen: list[str] = []
    for name in small:
        if counts[name] < 2 * (goal - counts[chosen].sum()):  # nearer to the goal with it than without
            chosen.append(name)
    if small and not chosen:
        chosen = [min(small, key=lambda name: counts[name])]
    return tuple(sorted(chosen))


def _choose_events(population: str, n_events: int, fraction: float, seed: int) -> BoolArray:
    held_out = np.zeros(n_events, bool)
    n_held_out = min(round(n_events * fraction), n_events - 1)
    held_out[lowest(row_priorities(population, 0, n_events, seed), n_held_out)] = True
    return held_out
