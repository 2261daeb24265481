"""A uniform sample of events that arrive in pieces: the events of the lowest priorities."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from math import sqrt
from typing import Any

import numpy as np
from pydantic import Field

from neuronedit.arrays import Floats, Int64s, Masks, Texts, UInt64s
from neuronedit.cells.events import lowest
from neuronedit.config import Config

SAMPLE_COLUMN = "sample_id"
"""Names an event's sample, where no other column is named to do so: ingest writes it."""


class SampleConfig(Config):
    """How many events of each population are drawn for training, fitting and review."""

    events_per_population: int = Field(
        20_000, ge=100, description="at most this many; a percentile's rank error is at most 0.5/sqrt of it"
    )
    seed: int = Field(0, ge=0, description="the same seed draws the same events, in whatever order files are read")


def sample_column_of(asked_for: str | None, names: Collection[str]) -> str | None:
    """The column that names an event's sample, if there is one; otherwise its file does.

    Args:
        asked_for: The design's.
        names: The file's columns.

    Example:
        >>> sample_column_of("donor", ["sample_id", "donor"]), sample_column_of(None, ["sample_id", "donor"])
        ('donor', 'sample_id')
    """
    return asked_for or (SAMPLE_COLUMN if SAMPLE_COLUMN in names else None)


ANY_PRIORITY = np.uint64(2**64 - 1)


@dataclass(frozen=True)
class DrawnEvents:
    """Events with their priorities, samples and labels.

    Attributes:
        priorities: (n_events,) uint64, see ``row_priorities``.
        intensities: (n_events, n_markers) float32, raw.
        samples: (n_events,) name of each event's sample.
        labels: (n_events, n_columns) values of the label columns asked for.
    """

    priorities: UInt64s
    intensities: Floats
    samples: Texts
    labels: Texts

    def __len__(self) -> int:
        return len(self.priorities)

    @classmethod
    def concatenate(cls, pieces: Sequence["DrawnEvents"]) -> "DrawnEvents":
        """Put pieces, at least one, one after another."""
        if len(pieces) == 1:
            return pieces[0]
        return cls(
            np.concatenate([piece.priorities for piece in pieces]),
            np.concatenate([piece.intensities for piece in pieces]),
            np.concatenate([piece.samples for piece in pieces]),
            np.concatenate([piece.labels for piece in pieces]),
        )

    def lowest(self, n_events: int) -> "DrawnEvents":
        """Keep the events of the lowest priorities, at most ``n_events``, by ascending priority."""
        rows = lowest(self.priorities, n_events)
        return DrawnEvents(self.priorities[rows], self.intensities[rows], self.samples[rows], self.labels[rows])


class Drawing:
    """A draw of up to ``n_wanted`` events from pieces, the same in whatever order the pieces come.

    It holds at most three times as many; sorting only now and then makes a piece cost no more than its own events.

    Attributes:
        n_wanted: Events to draw, at most.
        n_seen: Events that the pieces were taken from, so far.
        bound: The highest priority that can still be drawn.

    Example:
        >>> drawing, names = Drawing(n_wanted=2), np.array(["a", "b", "c"], object)
        >>> events = DrawnEvents(np.array([9, 1, 5], np.uint64), np.zeros((3, 1)), names, names[:, None])
        >>> drawing.add(events, n_seen=3)
        >>> drawing.drawn().samples.tolist()
        ['b', 'c']
    """

    def __init__(self, n_wanted: int) -> None:
        self.n_wanted = n_wanted
        self.n_seen = 0
        self.bound = ANY_PRIORITY
        self._pieces: list[DrawnEvents] = []

    def add(self, events: DrawnEvents, n_seen: int) -> None:
        """Take in a piece's events.

        Args:
            events: The ``n_wanted`` events of the lowest priorities in the piece; those above ``bound`` may be missing.
            n_seen: Events of the piece.
        """
        self.n_seen += n_seen
        if not len(events):
            return
        self._pieces.append(events)
        if sum(map(len, self._pieces)) >= 2 * self.n_wanted:
            self._pieces = [self.drawn()]
            self.bound = self._pieces[0].priorities[-1]

    @property
    def is_empty(self) -> bool:
        """Whether no event was drawn: what was seen was only counted."""
        return not self._pieces

    def drawn(self) -> DrawnEvents:
        """The events drawn so far, by ascending priority, so in random order."""
        return DrawnEvents.concatenate(self._pieces).lowest(self.n_wanted)


def candidates(priorities: UInt64s, chosen: Masks, drawing: Drawing) -> Int64s:
    """Find the rows of a piece that a drawing may still take, by ascending priority.

    Args:
        priorities: (n_events,) uint64, of the whole piece.
        chosen: (n_events,) bool, events of the drawing's population.
        drawing: Its ``n_wanted`` and ``bound`` limit the rows.

    Returns:
        (n_rows,) int64, at most ``drawing.n_wanted`` rows.

    Example:
        >>> candidates(np.array([9, 1, 5], np.uint64), np.array([True, False, True]), Drawing(n_wanted=1)).tolist()
        [2]
    """
    rows = np.flatnonzero(chosen & (priorities <= drawing.bound))
    return rows[lowest(priorities[rows], drawing.n_wanted)]


def rank_error(n_drawn: int, n_events: int) -> float:
    """Standard error of a median's rank, as a share of the events; every other percentile's is at most this.

    If n = ``n_drawn`` events are drawn uniformly, without replacement, from N = ``n_events``, the share that lies below
    a value is hypergeometric: at the rank q its variance is q (1 − q) / n · (N − n) / (N − 1).

    Example:
        >>> rank_error(100, 100), round(rank_error(100, 1_000_000), 3)
        (0.0, 0.05)

    Source: Cochran 1977, Sampling Techniques, 3rd edition, equation 3.9.
    """
    return sqrt(0.25 / n_drawn * (n_events - n_drawn) / (n_events - 1)) if n_drawn < n_events else 0.0


@dataclass(frozen=True)
class DrawnPopulations:
    """A sample of each population, and how many events it was drawn from.

    Attributes:
        intensities: Raw, (n_drawn, n_markers) float32 each, in random order.
        counts: Events of each population in the whole dataset.
        labels: By column that was asked for, what it says of each event drawn, (n_drawn,) texts each.
        samples: The sample that each event drawn is from, (n_drawn,) texts each.
        priorities: (n_drawn,) uint64 each, ascending: what the events were drawn by, as ``row_priorities`` gives it.
        batches: All events of each batch in the whole dataset, where a controls design chose the populations.
    """

    intensities: dict[str, Floats]
    counts: dict[str, int]
    labels: dict[str, dict[str, Texts]] = field(default_factory=dict)
    samples: dict[str, Texts] = field(default_factory=dict)
    priorities: dict[str, UInt64s] = field(default_factory=dict)
    batches: dict[str, int] = field(default_factory=dict)

    def column(self, name: str | None) -> dict[str, Texts] | None:
        """One of the columns that were asked for, (n_drawn,) texts of each population; None for no column."""
        return {population: columns[name] for population, columns in self.labels.items()} if name else None

    def select(self, names: Collection[str]) -> "DrawnPopulations":
        """Keep only the named populations."""
        return DrawnPopulations(
            **{
                of.name: {name: part for name, part in getattr(self, of.name).items() if name in names}
                for of in fields(self)
            }
        )

    def merge(self, others: "DrawnPopulations") -> "DrawnPopulations":
        """Put populations of two datasets together, sorted by name; of two of one name this one's stays."""
        both = {of.name: getattr(others, of.name) | getattr(self, of.name) for of in fields(self)}
        return DrawnPopulations(**{name: dict(sorted(parts.items())) for name, parts in both.items()})

    def facts(self) -> dict[str, Any]:
        """Give the numbers of events as a model's facts record them."""
        return {
            "events": self.counts,
            "events_drawn": {name: len(events) for name, events in self.intensities.items()},
            "rank_error": self.rank_errors,
        }

    @property
    def rank_errors(self) -> dict[str, float]:
        """The standard error of a percentile's rank in each population's sample, at most: 0 where all were drawn."""
        return {name: rank_error(len(events), self.counts[name]) for name, events in self.intensities.items()}
