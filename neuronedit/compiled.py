"""Functions compiled by Numba: loops over events that neither NumPy nor torch has."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """The function, compiled when it is first called and kept on disk for the next process.

    One thread, as every worker has one core; sums are in the order that is written, so an event's bits are its own.
    """
    try:
        made = numba.njit(function, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:  # no folder to write to: each process compiles for itself
        made = numba.njit(function, nogil=True, error_model="numpy")
    return cast(F, made)
