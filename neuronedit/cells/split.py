"""The events held out for validation: whole samples if there are several, so that no sample is on both sides."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuronedit.arrays import Masks, Texts
from neuronedit.cells.events import lowest, row_priorities
from neuronedit.errors import DataError, listing

LARGEST_SHARE = 1 / 3
"""A sample with more of its population's events is never held out: too little would be left to learn from."""


@dataclass(frozen=True)
class Split:
    """The events held out of each population.

    Attributes:
        held_out: (n_events,) bool, events held out, by population.
        samples: Names of the samples held out, by population; none if single events were held out.
    """

    held_out: Mapping[str, Masks]
    samples: Mapping[str, tuple[str, ...]]

    @property
    def by_event(self) -> tuple[str, ...]:
        """Names of the populations of which single events, not whole samples, were held out."""
        return tuple(name for name, samples in self.samples.items() if not samples)

    @property
    def sentence(self) -> str:
        """The split in words, for the log."""
        count = len(self.samples) - len(self.by_event)
        parts = [f"validation on whole samples of {count} populations"] if count else []
        if self.by_event:
            parts.append(
                f"validation on single events of {listing(self.by_event)}: of fewer than two known samples, or of "
                f"none with at most {LARGEST_SHARE:.0%} of the events; a loss on these does not show how it does on a "
                "new sample"
            )
        return "; ".join(parts)


def split(sizes: Mapping[str, int], fraction: float, seed: int, samples: Mapping[str, Texts] | None = None) -> Split:
    """Choose the events to hold out; the choice does not depend on the number of workers or on other populations.

    Samples are taken in an order that depends on their name and the seed alone, so that one that lies in several
    populations is held out of all of them if possible.

    Args:
        sizes: Number of events, by population.
        fraction: Share of each population to hold out, about: whole samples make it between none and twice as much,
            or the smallest sample, if all are larger than that.
        seed: Another seed holds out other samples or events.
        samples: (n_events,) name of each event's sample, by population; populations without are split by events.

    Raises:
        DataError: A population has not as many samples' names as events.

    Example:
        >>> wells = np.repeat(np.array(["w1", "w2", "w3", "w4", "w5"], object), 20)
        >>> found = split({"source": 100}, fraction=0.2, seed=0, samples={"source": wells})
        >>> int(found.held_out["source"].sum()), len(found.samples["source"])
        (20, 1)
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


def _choose_events(population: str, n_events: int, fraction: float, seed: int) -> Masks:
    held_out = np.zeros(n_events, bool)
    n_held_out = min(round(n_events * fraction), n_events - 1)
    held_out[lowest(row_priorities(population, 0, n_events, seed), n_held_out)] = True
    return held_out
