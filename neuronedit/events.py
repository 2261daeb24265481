"""Checks on events, and the seeded choice of a sample of them."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from neuronedit.errors import DataError
from neuronedit.scaling import FloatArray

Priorities = npt.NDArray[np.uint64]
State = TypeVar("State", Priorities, np.uint64)

MAX_INTENSITY = float(np.finfo(np.float32).max)
"""The network computes in float32; what it cannot hold would come out as NaN, without a word."""


def check_finite(intensities: FloatArray, markers: Sequence[str], where: str, first_row: int = 0) -> None:
    """Check that (n_events, n_markers) intensities have no NaN, no infinity and nothing beyond float32.

    Args:
        intensities: In the order of ``markers``.
        markers: The columns' names.
        where: The file or table that has them, for the message.
        first_row: The row number of the first event in it, from 0.

    Raises:
        DataError: Names the marker, the first such row and how many there are.
    """
    finite = np.abs(intensities) <= MAX_INTENSITY  # False for NaN, too
    if finite.all():
        return
    marker = int(np.flatnonzero(~finite.all(axis=0))[0])
    bad = np.flatnonzero(~finite[:, marker])
    value = intensities[bad[0], marker]
    found = "NaN" if np.isnan(value) else "infinity" if np.isinf(value) else f"{value:g}"
    raise DataError(
        f"{where}: marker {markers[marker]!r} has {found} in row {first_row + int(bad[0])} "
        f"({len(bad)} such events among {len(intensities)}); expected finite intensities. "
        "Drop these events, or exclude the marker."
    )


def row_priorities(file: str, first_row: int, n_events: int, seed: int) -> Priorities:
    """A random number for each row of a file, the same wherever and in whatever order it is read.

    The k rows with the lowest numbers of a whole dataset are a uniform sample of k events.

    Args:
        file: The file's name relative to its dataset.
        first_row: The row number of the first event, from 0.
        n_events: How many rows follow.
        seed: Another seed gives other numbers.
    """
    start = int.from_bytes(hashlib.sha256(f"{seed}/{file}".encode()).digest()[:8], "little")
    with np.errstate(over="ignore"):
        rows = np.arange(first_row + 1, first_row + n_events + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return mix_bits(np.uint64(start) + rows)


def mix_bits(state: Priorities) -> Priorities:
    """Numbers that look random, one for each state; states that differ in any bit give unrelated ones.

    Source: Vigna 2015, SplitMix64 (public domain, prng.di.unimi.it/splitmix64.c).
    """
    with np.errstate(over="ignore"):
        return mix(state)


def mix(state: State) -> State:
    """``mix_bits`` for NumPy and for Numba, which knows no ``errstate`` and no overflow."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def lowest(priorities: Priorities, n_events: int) -> npt.NDArray[np.int64]:
    """The rows of the lowest priorities, in their order: at most ``n_events`` of them."""
    if n_events >= len(priorities):
        return np.argsort(priorities, kind="stable")
    rows = np.argpartition(priorities, n_events)[:n_events]  # to sort all would cost a block three times as much
    return rows[np.argsort(priorities[rows], kind="stable")]
