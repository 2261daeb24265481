"""The tally's loops over values: events are counted in fixed bins, markers in rows."""

from typing import Final

import numpy as np
import numpy.typing as npt

from neuronedit.arrays import Float32s, Int64s, compiled
from neuronedit.cells.events import mix

NEAR, FINE = 4, 24
"""Up to ``NEAR`` standard deviations from the mean, bins are 1/``FINE`` standard deviation wide."""

FAR, COARSE = 16, 6
"""From there to ``FAR``, bins are 1/``COARSE`` wide: rarely expressed markers reach it. The outermost bins are open."""

HALF: Final = NEAR * FINE + (FAR - NEAR) * COARSE
N_BINS: Final = 2 * HALF

EDGES: Final = np.concatenate(
    [
        np.arange(-FAR * COARSE, -NEAR * COARSE) / COARSE,
        np.arange(-NEAR * FINE, NEAR * FINE) / FINE,
        np.arange(NEAR * COARSE, FAR * COARSE + 1) / COARSE,
    ]
)
"""Edges of the bins, (N_BINS + 1,) float64, standard deviations from the mean."""

AT_ZERO: Final = N_BINS
"""The index of the counter of values at exact zero intensity, many in mass cytometry; they are in no bin."""

NOT_FINITE: Final = N_BINS + 1
"""The index of the counter of values that are no finite number."""

TOP_LEVEL: Final = 9
"""The highest level of an event: one event in 2⁹ = 512 has it."""

N_LEVELS: Final = TOP_LEVEL + 1


_mix = compiled(mix)


@compiled
def column_levels(bits: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """Draw the levels of events, (n_markers, n_events): each is drawn by the event's own bits (see ``levels``).

    The bits of an event's markers, each times a number of its own, are summed and mixed: the level is the number of
    zeros at the sum's end, ``TOP_LEVEL`` at most.

    Example:
        >>> bits = np.random.default_rng(0).integers(0, 2**32, (3, 10_000), np.uint32)
        >>> np.bincount(column_levels(bits))[:3].round(-3).tolist()
        [5000, 3000, 1000]
    """
    states = np.zeros(bits.shape[1], np.uint32)
    for marker in range(bits.shape[0]):
        odd = np.uint32(np.uint64(2 * marker + 1) * np.uint64(0x9E3779B97F4A7C15))
        for event in range(bits.shape[1]):
            states[event] += bits[marker, event] * odd
    levels = np.empty(bits.shape[1], np.uint8)
    for event in range(bits.shape[1]):
        mixed = _mix(np.uint64(states[event]))
        low = np.uint32(mixed & np.uint64((1 << TOP_LEVEL) - 1)) | np.uint32(1 << TOP_LEVEL)
        level = 0
        while not (low >> np.uint32(level)) & np.uint32(1):
            level += 1
        levels[event] = level
    return levels


@compiled
def count_values(columns: Float32s, zeros: Float32s, values: Int64s, lowest: Float32s, highest: Float32s) -> None:
    """Add events, (n_markers, n_events), to the counts before or after; loops are split so that most are vectorised.

    Neighbours are counted in tables of their own, so that one count need not wait for the other.

    Args:
        columns: (n_markers, n_events) standardised.
        zeros: (n_markers,) zero intensity, standardised.
        values: (n_markers, N_BINS + 2), added to.
        lowest: (n_markers,), the least finite value, lowered in place.
        highest: (n_markers,), the greatest finite value, raised in place.

    Example:
        >>> values, lowest, highest = np.zeros((1, N_BINS + 2), np.int64), *np.float32([[9], [-9]])
        >>> count_values(np.float32([[0, 1, np.nan]]), np.float32([0]), values, lowest, highest)
        >>> values[0, [AT_ZERO, NOT_FINITE]].tolist(), lowest.tolist(), highest.tolist()
        ([1, 1], [0.0], [1.0])
    """
    n_events = columns.shape[1]
    places, counts = np.empty(n_events, np.uint32), np.empty((2, N_BINS + 2), np.int32)
    lows, highs = np.empty(n_events, np.float32), np.empty(n_events, np.float32)
    for marker in range(columns.shape[0]):
        for event in range(n_events):
            value = columns[marker, event]
            within = min(max(value, np.float32(-FAR)), np.float32(FAR))
            near = min(max(value, np.float32(-NEAR)), np.float32(NEAR))
            scaled = near * np.float32(FINE) + (within - near) * np.float32(COARSE) + np.float32(HALF)
            in_bin = np.int32(min(scaled, np.float32(N_BINS - 1)))
            finite = np.abs(value) < np.inf
            places[event] = (AT_ZERO if value == zeros[marker] else in_bin) if finite else NOT_FINITE
            lows[event] = value if finite else np.float32(np.inf)
            highs[event] = value if finite else np.float32(-np.inf)
        counts[:] = 0
        for event in range(0, n_events - 1, 2):
            counts[0, places[event]] += 1
            counts[1, places[event + 1]] += 1
        if n_events % 2:
            counts[0, places[n_events - 1]] += 1
        for place in range(N_BINS + 2):
            values[marker, place] += counts[0, place] + counts[1, place]
        n_left = n_events
        while n_left > 1:
            half = (n_left + 1) // 2
            for event in range(n_left - half):
                lows[event] = min(lows[event], lows[event + half])
                highs[event] = max(highs[event], highs[event + half])
            n_left = half
        lowest[marker] = min(lowest[marker], lows[0])
        highest[marker] = max(highest[marker], highs[0])


@compiled
def count_edited(before: Float32s, after: Float32s, edited: Int64s) -> None:
    """Count values that differ, (n_markers, n_events) each; a value that is NaN on both sides does not differ.

    Example:
        >>> edited = np.zeros(1, np.int64)
        >>> count_edited(np.float32([[0, 1]]), np.float32([[0, 2]]), edited)
        >>> edited.tolist()
        [1]
    """
    for marker in range(before.shape[0]):
        n_edited = 0
        for event in range(before.shape[1]):
            was, became = before[marker, event], after[marker, event]
            n_edited += (was != became) & ((was == was) | (became == became))
        edited[marker] += n_edited
