"""Compilation by Numba of loops over events that neither NumPy nor torch offers."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function at its first call, and keep it on disk for the next process.

    It runs in one thread, as every worker has one core; sums are in the order that is written, so that an event's bits
    do not depend on other events.
    """
    return _compiled(function, set())


def compiled_sum(function: F) -> F:
    """Compile a sum within one event; its order is free, depends on the number of terms alone, and is faster."""
    return _compiled(function, {"reassoc", "contract"})


def _compiled(function: F, fastmath: set[str]) -> F:
    try:
        made = numba.njit(function, cache=True, nogil=True, error_model="numpy", fastmath=fastmath)
    except RuntimeError:  # no folder to write to: each process compiles for itself
        made = numba.njit(function, nogil=True, error_model="numpy", fastmath=fastmath)
    return cast(F, made)
