"""The tally: counts of events' values before and after an edit, in fixed bins, taken while events stream past.

Counts of fixed bins can be added: the sum is the same bit for bit, whichever worker counts which events in whatever
order. So each worker tallies its own events, and no event is read twice.
"""

import base64
import json
import zlib
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np

from neuronedit.arrays import Float32s, Floats, Int64s, Masks
from neuronedit.errors import DataError
from neuronedit.model.counting import N_BINS, count_edited, count_values, sampled_columns

SAMPLED: Final = 512
"""One event in this many has its support scored, which costs as much as counting hundreds."""

TALLY_FORMAT: Final = 1

BEFORE, AFTER = 0, 1


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of one group's events; methods add to the arrays in place.

    Attributes:
        values: (2, n_markers, N_BINS + 2) int64, values in each bin, at exact zero, and not finite: before and after.
        lowest: (2, n_markers) float32, the least finite value before and after; infinity if there is none.
        highest: (2, n_markers) float32, the greatest finite value before and after; minus infinity if there is none.
        edited: (n_markers,) int64, values that differ before and after.
        support: (2,) int64, sampled events that were scored, and those among them beyond the support.
    """

    values: Int64s
    lowest: Float32s
    highest: Float32s
    edited: Int64s
    support: Int64s

    @classmethod
    def empty(cls, n_markers: int) -> Self:
        """Make the counts of no events."""
        return cls(
            np.zeros((2, n_markers, N_BINS + 2), dtype=np.int64),
            np.full((2, n_markers), np.inf, dtype=np.float32),
            np.full((2, n_markers), -np.inf, dtype=np.float32),
            np.zeros(n_markers, dtype=np.int64),
            np.zeros(2, dtype=np.int64),
        )

    @property
    def n_events(self) -> int:
        """The number of events counted."""
        return int(self.values[BEFORE, 0].sum())

    def add(self, other: "Counts") -> None:
        """Add the other's counts to these."""
        for mine, others in zip(self.integers, other.integers, strict=True):
            mine += others
        np.minimum(self.lowest, other.lowest, out=self.lowest)
        np.maximum(self.highest, other.highest, out=self.highest)

    @property
    def integers(self) -> tuple[Int64s, ...]:
        """The arrays that are added up."""
        return self.values, self.edited, self.support


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
            support: (n_events,) ``Support.scores``, NaN for an event without; read for sampled events only.
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
            self.observe_support(group, support[sampled(before)])

    def observe_support(self, group: str, scores: Floats) -> None:
        """Count the support scores of sampled events, (n_sampled,), NaN for an event without."""
        counts = self.groups.setdefault(group, Counts.empty(len(self.zeros)))
        counts.support[:] += [(~np.isnan(scores)).sum(), (scores > 1).sum()]

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
        shape = (2, n_markers, N_BINS + 2)
        counted = integers.reshape(len(names), int(np.prod(shape)) + n_markers + 2)
        return cls(
            floats[:n_markers],
            {
                name: Counts(found[: -n_markers - 2].reshape(shape), low, high, found[-n_markers - 2 : -2], found[-2:])
                for name, found, (low, high) in zip(names, counted, limits, strict=True)
            },
        )


def sampled(events: Floats) -> Masks:
    """Sample events whose support is scored: (n_events, n_markers) float32, unedited, standardised → (n_events,) bool.

    An event's own bits decide, so that the choice does not depend on the file, its place or its neighbours.

    Example:
        >>> events = np.random.default_rng(0).normal(size=(51_200, 2))
        >>> 80 < sampled(events).sum() < 120, (sampled(events[::-1]) == sampled(events)[::-1]).all()
        (np.True_, np.True_)
    """
    return sampled_columns(np.ascontiguousarray(events.T, np.float32).view(np.uint32), SAMPLED)


def _damaged(error: Exception) -> DataError:
    return DataError(f"Tally: damaged ({type(error).__name__}: {error}). Transform the file that it is of again.")
