"""Functions compiled by Numba: loops over events that neither NumPy nor torch has."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """The function, compiled when it is first called and kept on disk for the next process.

    One thread, as every worker has one core; sums are in the order that is written, so an event's bits are its own.
    """
    return _compiled(function, set())


def compiled_sum(function: F) -> F:
    """The same for a sum within one event, in an order that depends on the number of its terms alone, and is fast."""
    return _compiled(function, {"reassoc", "contract"})


def _compiled(function: F, fastmath: set[str]) -> F:
    try:
        made = numba.njit(function, cache=True, nogil=True, error_model="numpy", fastmath=fastmath)
    except RuntimeError:  # no folder to write to: each process compiles for itself
        made = numba.njit(function, nogil=True, error_model="numpy", fastmath=fastmath)
    return cast(F, made)
