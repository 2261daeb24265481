"""Events: a check that all are finite, and random numbers by which a sample of them is drawn.

Read the next item while the caller works on this one.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from neuronedit.arrays import Floats, Int64s, Masks, UInt64s
from neuronedit.errors import DataError, EditedError

State = TypeVar("State", UInt64s, np.uint64)

MAX_INTENSITY = float(np.finfo(np.float32).max)
"""The largest float32: the network computes in float32 and would turn larger intensities into NaN, silently."""


def check_finite(intensities: Floats, markers: Sequence[str], where: str, first_row: int = 0) -> None:
    """Check that intensities have no NaN, no infinity and nothing beyond float32.

    Args:
        intensities: (n_events, n_markers).
        markers: (n_markers,) names of the columns.
        where: The file or table that has them, for the message.
        first_row: The row number of the first event in the file, from 0.

    Raises:
        DataError: A value is not finite; the message names the marker, the first such row and the number of such rows.

    Example:
        >>> check_finite(np.array([[1.0, 2.0]]), ["CD3", "CD4"], "cells.parquet")
    """
    if _all_finite(intensities):
        return
    finite = np.abs(intensities) <= MAX_INTENSITY  # False for NaN, too
    marker = int(np.flatnonzero(~finite.all(axis=0))[0])
    bad = np.flatnonzero(~finite[:, marker])
    value = intensities[bad[0], marker]
    found = "NaN" if np.isnan(value) else "infinity" if np.isinf(value) else f"{value:g}"
    raise DataError(
        f"{where}: marker {markers[marker]!r} has {found} in row {first_row + int(bad[0])} "
        f"({len(bad)} such events among {len(intensities)}); expected finite intensities. "
        "Drop these events, or exclude the marker."
    )


def check_edited(edited: Floats, markers: Sequence[str], where: str) -> None:
    """Check that edited intensities are finite float32 numbers: what is not must never be written.

    Args:
        edited: (n_events, n_markers).
        markers: (n_markers,) names of the columns.
        where: The events' place, for the message.

    Raises:
        EditedError: A value is not; it tells which events are sound.

    Example:
        >>> check_edited(np.array([[1.0, np.inf]]), ["CD3", "CD4"], "day2.parquet")
        Traceback (most recent call last):
        neuronedit.errors.EditedError: day2.parquet: the edit makes inf of marker 'CD4' in row 0 ...
    """
    if _all_finite(edited):
        return
    finite = np.abs(edited) <= MAX_INTENSITY
    event, marker = (int(index) for index in np.argwhere(~finite)[0])
    raise edited_error(where, markers[marker], float(edited[event, marker]), event, np.asarray(finite.all(axis=1)))


def _all_finite(values: Floats) -> bool:
    # The greatest of values among which is NaN is NaN, and no number is above or below it.
    return bool(values.max(initial=0) <= MAX_INTENSITY and values.min(initial=0) >= -MAX_INTENSITY)


def edited_error(where: str, marker: str, value: float, row: int, finite: Masks) -> EditedError:
    """Make the error of ``check_edited``.

    Example:
        >>> str(edited_error("day2.parquet", "CD4", np.inf, 0, np.array([False])))[:58]
        "day2.parquet: the edit makes inf of marker 'CD4' in row 0 "
    """
    return EditedError(
        f"{where}: the edit makes {value:g} of marker {marker!r} in row {row} ({(~finite).sum()} such events among "
        f"{len(finite)}); expected finite intensities. Such events are not of the kind that the model was fitted on: "
        "leave them out (in transform, on_error = quarantine), or fit a model with them.",
        marker,
        value,
        finite,
    )


def row_priorities(file: str, first_row: int, n_events: int, seed: int) -> UInt64s:
    """Give each row of a file a random number, the same wherever and in whatever order rows are read.

    The k rows with the lowest numbers of a whole dataset are a uniform sample of k events.

    Args:
        file: The file's name relative to its dataset.
        first_row: The row number of the first event, from 0.
        n_events: The number of rows.
        seed: Another seed gives other numbers.

    Returns:
        (n_events,) uint64.

    Example:
        >>> whole = row_priorities("a.parquet", 0, 4, seed=0)
        >>> bool((whole[2:] == row_priorities("a.parquet", 2, 2, seed=0)).all())
        True
    """
    start = int.from_bytes(hashlib.sha256(f"{seed}/{file}".encode()).digest()[:8], "little")
    with np.errstate(over="ignore"):
        rows = np.arange(first_row + 1, first_row + n_events + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return mix_bits(np.uint64(start) + rows)


def mix_bits(state: UInt64s) -> UInt64s:
    """Turn states, (n,) uint64, into numbers that look random; states that differ in any bit give unrelated ones.

    Source: Vigna 2015, SplitMix64 (public domain, prng.di.unimi.it/splitmix64.c).

    Example:
        >>> [hex(number) for number in mix_bits(np.array([0x9E3779B97F4A7C15], np.uint64)).tolist()]
        ['0xe220a8397b1dcdaf']
    """
    with np.errstate(over="ignore"):
        return mix(state)


def mix(state: State) -> State:
    """Compute ``mix_bits`` without ``errstate``, which Numba does not know; a NumPy scalar warns of overflow.

    Example:
        >>> mix(np.array([0], np.uint64)).tolist()
        [0]
    """
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def lowest(priorities: UInt64s, n_events: int) -> Int64s:
    """Find the rows of the lowest priorities, at most ``n_events`` of them, by ascending priority.

    Args:
        priorities: (n,) uint64.
        n_events: Rows wanted.

    Returns:
        (min(n, n_events),) int64.

    Example:
        >>> lowest(np.array([7, 1, 9, 3], np.uint64), 2).tolist()
        [1, 3]
    """
    if n_events >= len(priorities):
        return np.argsort(priorities, kind="stable")
    rows = np.argpartition(priorities, n_events)[:n_events]  # to sort all would cost a block three times as much
    return rows[np.argsort(priorities[rows], kind="stable")]


Item = TypeVar("Item")


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Give the same items, each made in a thread while the caller works on the one before.

    An error that an item raises is raised in that item's place. An item may not be None.

    Example:
        >>> list(one_ahead(iter([1, 2, 3])))
        [1, 2, 3]
    """
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item
