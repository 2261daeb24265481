"""Edits that students serve, on the processor: blocks of events, markers in rows, pass through all of it in the cache.

A column of a file lies in the memory as a whole. So do the markers of a block here: no event is gathered from its
columns and scattered again, and every loop runs along one marker. The arithmetic is that of ``Edit.change``, with the
same bits; only the transform's inverse is taken in float32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neuronedit.arrays import Float32s, Floats, Masks, UInt64s, compiled
from neuronedit.cells.scaling import Scaling
from neuronedit.cells.transforms import all_cofactors
from neuronedit.edits.edit import Edit
from neuronedit.edits.spikes import WIDTH, gathered_value, rank_of, weighted_bits
from neuronedit.edits.students.student import BLOCK
from neuronedit.edits.support import shrink
from neuronedit.network.autoencoder import tensor

Traced = Callable[[Float32s, Float32s, Float32s | None], None]
"""Called with some events, standardised, (n_events, n_markers) float32 each, before and after their edits; and the
support scores, (n_events,) float32, where they are asked for."""


class NotFiniteError(Exception):
    """A value is not a finite float32 number: through the network it would spoil its event's other markers too."""


@dataclass(frozen=True)
class ColumnPipeline:
    """Edits, applied one after another, each by its student.

    Attributes:
        scaling: From raw intensities to what the edits were learned on.
        edits: In order; each has a student, or no members.
        strength: The share of each edit's change that is made.
        support: Score events by the first edit's support.
        traced: Called with the standardised events of each block; None where nobody asks for them.
    """

    scaling: Scaling
    edits: tuple[Edit, ...]
    strength: float = 1.0
    support: bool = False
    traced: Traced | None = None

    def run(self, intensities: Floats, edited: Floats, scores: Float32s | None) -> None:
        """Edit raw intensities, block by block.

        Args:
            intensities: (n_events, n_markers) raw.
            edited: (n_events, n_markers), to be filled.
            scores: (n_events,), to be filled with support scores; None where they are not asked for.

        Raises:
            NotFiniteError: A value is not a finite float32 number.
        """
        room = _Room.for_markers(intensities.shape[1])
        for start in range(0, len(intensities), BLOCK):
            part = slice(start, min(start + BLOCK, len(intensities)))
            with np.errstate(over="ignore"):  # what is beyond float32 is told: as no finite number, or by the caller
                self._run_block(room, intensities[part].T, edited[part].T, None if scores is None else scores[part])

    def _run_block(self, room: "_Room", given: Floats, made: Floats, scores: Float32s | None) -> None:
        n_events = given.shape[1]
        np.copyto(room.raw[:, :n_events], given, casting="unsafe")
        self._transform(room.raw, room.transformed)
        if not _standardise(room.transformed, self.scaling.means, self.scaling.spreads, room.before):
            raise NotFiniteError
        of_first = self.edits[0].support.scores(tensor(room.before).T).numpy() if self.support else None
        after = room.before
        for number, edit in enumerate(self.edits):
            after = self._edited(edit, self._columns[number], room, after, None if number else of_first)
        _lead(room.before, after, self.scaling.spreads, room.transformed)
        self._restore(room, after)
        self._hand_over(room, after, given, made)
        if scores is not None and of_first is not None:
            scores[:] = of_first[:n_events]
        if self.traced:
            found = None if of_first is None else of_first[:n_events]
            self.traced(room.before[:, :n_events].T, after[:, :n_events].T, found)

    def _transform(self, raw: Float32s, transformed: Float32s) -> None:
        if self._cofactors is None:
            transformed[...] = self.scaling.transform(raw.T).T
        else:
            np.divide(raw, self._cofactors, out=transformed)
            np.arcsinh(transformed, out=transformed)

    def _edited(
        self, edit: Edit, columns: tuple[Masks, Masks], room: "_Room", before: Float32s, scores: Float32s | None
    ) -> Float32s:
        """Do what ``Edit.change`` does: (n_markers, BLOCK) → the same shape."""
        if not edit.student:
            return before
        hidden, kept_columns = columns
        _spread(before, hidden, edit.spikes.zeros, room.states, room.spread)
        change = edit.student.change_columns(room.spread)
        kept = room.ones
        if self.strength != 1 or edit.shrinks:
            kept = np.full(BLOCK, self.strength, np.float32)
            if edit.shrinks:
                found = tensor(scores) if scores is not None else edit.support.scores(tensor(before).T)
                kept *= shrink(found).numpy()
        _gather(change, room.spread, before, hidden, kept_columns, edit.spikes.zeros, edit.spikes.thresholds, kept)
        return change

    def _restore(self, room: "_Room", after: Float32s) -> None:
        """Undo the transform of values that moved, and put back others; those led to zero are exactly zero."""
        if self._cofactors is None:
            room.transformed[...] = self.scaling.intensities(room.transformed.T).T
            _keep(room.transformed, room.raw, room.before, after, self.scaling.zeros, room.units)
        else:
            np.sinh(room.transformed, out=room.transformed)
            _keep(room.transformed, room.raw, room.before, after, self.scaling.zeros, self._cofactors[:, 0])

    @staticmethod
    def _hand_over(room: "_Room", after: Float32s, given: Floats, made: Floats) -> None:
        n_events = given.shape[1]
        found = room.transformed[:, :n_events]
        if given.dtype == np.float32:
            made[...] = found
            return
        made[...] = np.rint(found) if np.issubdtype(given.dtype, np.integer) else found
        np.copyto(made, given, where=(after == room.before)[:, :n_events])

    @cached_property
    def _columns(self) -> list[tuple[Masks, Masks]]:
        """For each edit, masks of the markers that it does not look at, and of those that it leaves: (n_markers,)."""
        markers = np.arange(len(self.scaling.means))
        return [
            (np.isin(markers, edit.support.hidden), np.isin(markers, [*edit.unlearnable, *edit.unmoved]))
            for edit in self.edits
        ]

    @cached_property
    def _cofactors(self) -> Float32s | None:
        """(n_markers, 1) where every transform is arcsinh; otherwise None."""
        cofactors = all_cofactors(self.scaling.transforms)
        return None if cofactors is None else cofactors[:, None]


@dataclass(frozen=True)
class _Room:
    """Room for a block: (n_markers, BLOCK) float32 each, but for ``states``, ``ones`` (BLOCK,) and ``units``.

    A block that is not full has zeros, or another block's events, in its last places: no event depends on another.
    """

    raw: Float32s
    transformed: Float32s
    before: Float32s
    spread: Float32s
    states: UInt64s
    ones: Float32s
    units: Float32s

    @classmethod
    def for_markers(cls, n_markers: int) -> "_Room":
        raw, transformed, before, spread = np.zeros((4, n_markers, BLOCK), np.float32)
        states, ones, units = np.empty(BLOCK, np.uint64), np.ones(BLOCK, np.float32), np.ones(n_markers, np.float32)
        return cls(raw, transformed, before, spread, states, ones, units)


@compiled
def _standardise(transformed: Float32s, means: Float32s, spreads: Float32s, before: Float32s) -> bool:
    """Standardise a block, (n_markers, n_events); tell whether all of it was finite."""
    n_wrong = 0
    for marker in range(transformed.shape[0]):
        for event in range(transformed.shape[1]):
            value = transformed[marker, event]
            n_wrong += not abs(value) < np.inf
            before[marker, event] = (value - means[marker]) / spreads[marker]
    return n_wrong == 0


@compiled
def _spread(events: Float32s, hidden: Masks, zeros: Float32s, states: UInt64s, spread: Float32s) -> None:
    """Do what ``Spikes.spread`` does, (n_markers, n_events) each; hidden markers are zeros."""
    states[:] = 0
    for marker in range(events.shape[0]):
        if hidden[marker]:
            spread[marker] = 0
        else:
            spread[marker] = events[marker]
    bits = spread.view(np.uint32)
    for marker in range(events.shape[0]):
        for event in range(events.shape[1]):
            states[event] += weighted_bits(bits[marker, event], marker)
    for marker in range(events.shape[0]):
        zero = zeros[marker]
        if not np.isnan(zero):
            for event in range(events.shape[1]):
                value = spread[marker, event]
                if value == zero:
                    spread[marker, event] = value - np.float32(WIDTH) * rank_of(states[event], marker)


@compiled
def _gather(
    change: Float32s,
    spread: Float32s,
    before: Float32s,
    hidden: Masks,
    kept_columns: Masks,
    zeros: Float32s,
    thresholds: Float32s,
    kept: Float32s,
) -> None:
    """Do what ``Spikes.gather`` and ``Edit.change`` after it do, in the change's place: (n_markers, n_events)."""
    for marker in range(change.shape[0]):
        if kept_columns[marker]:
            change[marker] = before[marker]
            continue
        zero, threshold = zeros[marker], thresholds[marker]
        for event in range(change.shape[1]):
            seen = np.float32(0) if hidden[marker] else before[marker, event]
            between = spread[marker, event]
            edited = gathered_value(between + change[marker, event], between, seen, zero, threshold)
            share = kept[event]
            change[marker, event] = edited if share == 1 else seen + share * (edited - seen)


@compiled
def _lead(before: Float32s, after: Float32s, spreads: Float32s, transformed: Float32s) -> None:
    """Move transformed values by the change of the standardised ones, in place: (n_markers, n_events)."""
    for marker in range(after.shape[0]):
        for event in range(after.shape[1]):
            transformed[marker, event] += (after[marker, event] - before[marker, event]) * spreads[marker]


@compiled
def _keep(found: Float32s, raw: Float32s, before: Float32s, after: Float32s, zeros: Float32s, units: Float32s) -> None:
    """Multiply by the cofactors, in place; put back what was not moved, and exact zeros: (n_markers, n_events)."""
    for marker in range(found.shape[0]):
        zero, unit = zeros[marker], units[marker]
        for event in range(found.shape[1]):
            value = after[marker, event]
            moved = np.float32(0) if value == zero else found[marker, event] * unit
            found[marker, event] = raw[marker, event] if value == before[marker, event] else moved
