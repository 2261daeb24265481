"""Types of arrays, and loops compiled by Numba."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Float32s = npt.NDArray[np.float32]
"""Single precision: intensities, activations and all that passes through the network."""

Float64s = npt.NDArray[np.float64]
"""Double precision: statistics."""

Floats = npt.NDArray[np.floating]
"""Either precision."""

Int64s = npt.NDArray[np.int64]
"""Indices, codes and counts."""

UInt64s = npt.NDArray[np.uint64]
"""Bits."""

Masks = npt.NDArray[np.bool_]
"""True for what is meant."""

Texts = npt.NDArray[np.object_]
"""Labels, as str."""

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function at its first call, and keep it on disk for the next process.

    It runs in one thread, as every worker has one core; sums are in the order that is written, so that an event's bits
    do not depend on other events.

    Example:
        >>> @compiled
        ... def doubled(value):
        ...     return 2 * value
        >>> doubled(3)
        6
    """
    return _compiled(function, set())


def compiled_sum(function: F) -> F:
    """Compile a sum within one event; its order is free, depends on the number of terms alone, and is faster.

    Example:
        >>> @compiled_sum
        ... def total(values):
        ...     return values.sum()
        >>> total(np.ones(5))
        5.0
    """
    return _compiled(function, {"reassoc", "contract"})


def _compiled(function: F, fastmath: set[str]) -> F:
    try:
        made = numba.njit(function, cache=True, nogil=True, error_model="numpy", fastmath=fastmath)
    except RuntimeError:  # no folder to write to: each process compiles for itself
        made = numba.njit(function, nogil=True, error_model="numpy", fastmath=fastmath)
    return cast(F, made)


Arrays = Mapping[str, npt.NDArray[Any]]


def pickled_fields(learned: Any) -> dict[str, Any]:
    """Give a dataclass's fields by name, without its cached properties.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Point:
        ...     x: float
        >>> pickled_fields(Point(1.0))
        {'x': 1.0}
    """
    return {field.name: getattr(learned, field.name) for field in fields(learned)}
