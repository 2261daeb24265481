"""The tally: counts of events' values before and after an edit, in fixed bins, taken while events stream past.

Counts of fixed bins can be added: the sum is the same bit for bit, whichever worker counts which events in whatever
order. So each worker tallies its own events, and no event is read twice.

Support is scored for a sample, since it costs as much as counting hundreds of events. Each event has a level, drawn by
its own bits; a part of the input scores its events from some level on, and the sample of several parts is from the
highest of their levels on: of all parts alike.
"""

import base64
import json
import zlib
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from neuronedit.arrays import Float32s, Floats, Int64s
from neuronedit.errors import DataError
from neuronedit.model.quality.counting import N_BINS, N_LEVELS, column_levels, count_edited, count_values

TALLY_FORMAT: Final = 2

BEFORE, AFTER = 0, 1

Levels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of one group's events; methods add to the arrays in place.

    Attributes:
        values: (2, n_markers, N_BINS + 2) int64, values in each bin, at exact zero, and not finite: before and after.
        lowest: (2, n_markers) float32, the least finite value before and after; infinity if there is none.
        highest: (2, n_markers) float32, the greatest finite value before and after; minus infinity if there is none.
        edited: (n_markers,) int64, values that differ before and after.
        support: (N_LEVELS, 2) int64, events of each level that were scored, and those among them beyond the support.
        level: (1,) int64, all events from this level on were scored, of whatever part of the input.
    """

    values: Int64s
    lowest: Float32s
    highest: Float32s
    edited: Int64s
    support: Int64s
    level: Int64s

    @classmethod
    def empty(cls, n_markers: int) -> Self:
        """Make the counts of no events."""
        return cls(
            np.zeros((2, n_markers, N_BINS + 2), dtype=np.int64),
            np.full((2, n_markers), np.inf, dtype=np.float32),
            np.full((2, n_markers), -np.inf, dtype=np.float32),
            np.zeros(n_markers, dtype=np.int64),
            np.zeros((N_LEVELS, 2), dtype=np.int64),
            np.zeros(1, dtype=np.int64),
        )

    @property
    def n_events(self) -> int:
        """The number of events counted."""
        return int(self.values[BEFORE, 0].sum())

    @property
    def scored(self) -> tuple[int, int]:
        """The number of events in the sample whose support was scored, and of those among them beyond the support."""
        n_scored, n_beyond = self.support[self.level[0] :].sum(axis=0).tolist()
        return n_scored, n_beyond

    def add(self, other: "Counts") -> None:
        """Add the other's counts to these: the sample has the levels that both have scored whole."""
        for mine, others in zip(self.integers[:-1], other.integers[:-1], strict=True):
            mine += others
        np.maximum(self.level, other.level, out=self.level)
        np.minimum(self.lowest, other.lowest, out=self.lowest)
        np.maximum(self.highest, other.highest, out=self.highest)

    @property
    def integers(self) -> tuple[Int64s, ...]:
        """The arrays of whole numbers; all but the last are added up."""
        return self.values, self.edited, self.support, self.level


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of events before and after an edit, by group: the events that the same edits apply to.

    Attributes:
        zeros: (n_markers,) float32, zero intensity when standardised, ``Scaling.zeros``.
        groups: Counts by the group's name.

    Example:
        >>> tally, events = Tally(np.zeros(1, np.float32)), np.array([[-1.0], [0.0], [1.0]], np.float32)
        >>> tally.observe("day1", events, events + 1)
        >>> tally.groups["day1"].n_events, tally.groups["day1"].edited.tolist()
        (3, [3])
    """

    zeros: Float32s
    groups: dict[str, Counts] = field(default_factory=dict)

    def observe(self, group: str, before: Floats, after: Floats, support: Floats | None = None) -> None:
        """Count events.

        Args:
            group: The group's name, ``batch_id`` or the edits' names.
            before: (n_events, n_markers) float32, standardised.
            after: (n_events, n_markers) float32, standardised, the same events edited.
            support: (n_events,) ``Support.scores``, NaN for an event without; None if they were not all scored.
        """
        if not len(before):
            return
        counts = self.groups.setdefault(group, Counts.empty(len(self.zeros)))
        was, became = (np.ascontiguousarray(events.T, np.float32) for events in (before, after))
        for moment, columns in enumerate((was, became)):
            count_values(columns, self.zeros, counts.values[moment], counts.lowest[moment], counts.highest[moment])
        if after is not before:
            count_edited(was, became, counts.edited)
        if support is not None:
            self.observe_support(group, support, levels(before), 0)

    def observe_support(self, group: str, scores: Floats, levels: Levels, level: int) -> None:
        """Count the support scores of some events.

        Args:
            group: The group's name.
            scores: (n_scored,), NaN for an event without.
            levels: (n_scored,) the events' own levels.
            level: All events from this level on are among them, of those that are counted at once.
        """
        counts = self.groups.setdefault(group, Counts.empty(len(self.zeros)))
        for column, counted in enumerate((~np.isnan(scores), scores > 1)):
            counts.support[:, column] += np.bincount(levels[counted], minlength=N_LEVELS)
        np.maximum(counts.level, level, out=counts.level)

    def add(self, other: "Tally") -> None:
        """Add the other's counts to these; the sum does not depend on the order of additions.

        Raises:
            DataError: The tallies are of different models.
        """
        if self.zeros.tobytes() != other.zeros.tobytes():
            raise DataError(
                "Tally: expected tallies of one model, found two whose markers are scaled differently. "
                "Transform all files with the same model."
            )
        for group, counts in other.groups.items():
            self.groups.setdefault(group, Counts.empty(len(self.zeros))).add(counts)

    def to_bytes(self) -> bytes:
        """Give the counts as bytes, the same for the same counts: about 20 KB for 40 markers and a million events."""
        return zlib.compress(self._content())

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Restore a tally from its ``to_bytes``.

        Raises:
            DataError: The bytes are damaged, or of another format.
        """
        try:
            header, _, body = zlib.decompress(content).partition(b"\n")
            facts = json.loads(header)
            if facts["format"] != TALLY_FORMAT:
                raise DataError(
                    f"Tally: expected format {TALLY_FORMAT}, found {facts['format']!r}. "
                    "Use the neuronedit that wrote it."
                )
            return cls._from_body(facts["groups"], facts["n_markers"], body)
        except (zlib.error, ValueError, KeyError, TypeError) as error:
            raise _damaged(error) from error

    def to_text(self) -> str:
        """Give ``to_bytes`` as text, a third longer, for JSON."""
        return base64.b64encode(self.to_bytes()).decode()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Restore a tally from its ``to_text``.

        Raises:
            DataError: The text is damaged, or of another format.
        """
        try:
            content = base64.b64decode(text)
        except ValueError as error:
            raise _damaged(error) from error
        return cls.from_bytes(content)

    def __eq__(self, other: object) -> bool:
        """Tell whether all counts are the same, bit for bit."""
        return isinstance(other, Tally) and self._content() == other._content()

    def _content(self) -> bytes:
        names = sorted(self.groups)
        chosen = [self.groups[name] for name in names]
        facts = {"format": TALLY_FORMAT, "n_markers": len(self.zeros), "groups": names}
        floats = np.concatenate([self.zeros, *(part.ravel() for c in chosen for part in (c.lowest, c.highest))])
        integers = np.concatenate([np.empty(0, np.int64), *(part.ravel() for c in chosen for part in c.integers)])
        # All lowest bytes first, then all second ones: most of the higher ones are zero, and cost nothing.
        planes = integers.astype("<i8").view(np.uint8).reshape(-1, 8).T
        return b"\n".join([json.dumps(facts).encode(), floats.astype("<f4").tobytes() + planes.tobytes()])

    @classmethod
    def _from_body(cls, names: list[str], n_markers: int, body: bytes) -> Self:
        n_floats = n_markers * (1 + 4 * len(names))
        floats = np.frombuffer(body[: 4 * n_floats], dtype="<f4").astype(np.float32)
        planes = np.frombuffer(body[4 * n_floats :], dtype=np.uint8).reshape(8, -1)
        integers = np.ascontiguousarray(planes.T).view("<i8").ravel().astype(np.int64)
        limits = floats[n_markers:].reshape(len(names), 2, 2, n_markers)
        empty = Counts.empty(n_markers).integers
        ends = np.cumsum([part.size for part in empty])
        counted = integers.reshape(len(names), int(ends[-1]))
        groups = {}
        for name, row, (low, high) in zip(names, counted, limits, strict=True):
            split = zip(np.split(row, ends[:-1]), empty, strict=True)
            values, edited, support, level = (found.reshape(part.shape) for found, part in split)
            groups[name] = Counts(values, low, high, edited, support, level)
        return cls(floats[:n_markers], groups)


def levels(events: Floats) -> Levels:
    """Draw the levels of events, unedited and standardised: (n_events, n_markers) float32 → (n_events,) uint8.

    Half of all events have level 0, half of the others level 1, and so on up to ``TOP_LEVEL``. An event's own bits
    decide, so that events from some level on are a sample that does not depend on files, places or neighbours.

    Example:
        >>> events = np.random.default_rng(0).normal(size=(51_200, 2))
        >>> 80 < (levels(events) == 9).sum() < 120, (levels(events[::-1]) == levels(events)[::-1]).all()
        (np.True_, np.True_)
    """
    return column_levels(np.ascontiguousarray(events.T, np.float32).view(np.uint32))


def _damaged(error: Exception) -> DataError:
    return DataError(f"Tally: damaged ({type(error).__name__}: {error}). Transform the file that it is of again.")
