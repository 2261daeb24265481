"""Compensation: take out the light that each fluorochrome spills into other detectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuronedit.arrays import Float64s
from neuronedit.errors import DataError, listing, nearest_name

SPILLOVER_KEYWORDS = ("spillover", "spill", "comp")
"""Keywords of FCS files that hold the matrix: $SPILLOVER (FCS 3.1), SPILL (Becton Dickinson), $COMP."""

MAX_CONDITION = 1e8
"""Beyond this condition number float32 intensities (24 bits) lose all their digits to the inversion."""


@dataclass(frozen=True)
class Spillover:
    """The share of each channel's light that reaches each detector.

    Attributes:
        channels: (n_channels,) names, in the matrix's order.
        matrix: (n_channels, n_channels) float64; a row is a channel's light, a column a detector.
    """

    channels: tuple[str, ...]
    matrix: Float64s


def read_spillover(keywords: Mapping[str, str], where: str) -> Spillover:
    """Read the spillover matrix from an FCS file's keywords.

    Args:
        keywords: The file's keywords, in lower case and without ``$``.
        where: The file, for the message.

    Raises:
        DataError: The file has no matrix, or one whose size, names or numbers are wrong.

    Example:
        >>> read_spillover({"spill": "2,FITC,PE,1,0.25,0,1"}, "cells.fcs").matrix.tolist()
        [[1.0, 0.25], [0.0, 1.0]]
    """
    found = next((name for name in SPILLOVER_KEYWORDS if keywords.get(name, "").strip()), None)
    if found is None:
        raise DataError(
            f"{where}: expected a spillover matrix to compensate with; "
            "found none of the keywords $SPILLOVER, SPILL and $COMP. "
            "Set compensate = false, or export the file with its matrix."
        )
    fields = [field.strip() for field in keywords[found].split(",")]
    n_channels = int(fields[0]) if fields[0].isdecimal() and len(fields[0]) < 9 else 0
    if n_channels == 0 or len(fields) != 1 + n_channels + n_channels**2:
        raise DataError(
            f"{where}: {found.upper()} is not a spillover matrix: expected a count n, n channel names and n × n "
            f"numbers; found {len(fields)} fields, beginning {listing(fields, limit=3)}. "
            "Set compensate = false, or export the file again."
        )
    channels = tuple(fields[1 : n_channels + 1])
    if len(set(channels)) != n_channels:
        raise DataError(f"{where}: {found.upper()} names a channel twice ({listing(channels)}). Export the file again.")
    return Spillover(channels, _read_matrix(fields[n_channels + 1 :], n_channels, found, where))


def compensate(intensities: Float64s, channels: Sequence[str], spillover: Spillover, where: str) -> Float64s:
    """Compute intensities without spillover: measured = true · matrix, solved for true.

    Args:
        intensities: (n_events, n_channels) float64, raw and linear.
        channels: (n_channels,) names of the columns.
        spillover: The matrix; channels that it does not name stay as they are.
        where: The file, for the message.

    Returns:
        (n_events, n_channels) float64, in a new array.

    Raises:
        DataError: The matrix names a channel that the file lacks, or cannot be inverted.

    Example:
        >>> spillover = Spillover(("FITC", "PE"), np.array([[1, 0.25], [0, 1]]))
        >>> compensate(np.array([[100.0, 25.0]]), ["FITC", "PE"], spillover, "cells.fcs").tolist()
        [[100.0, 0.0]]
    """
    unknown = [channel for channel in spillover.channels if channel not in channels]
    if unknown:
        raise DataError(
            f"{where}: the spillover matrix names channel {listing(unknown)}, which the file does not have "
            f"({len(channels)} channels{nearest_name(unknown[0], channels)}). "
            "Set compensate = false, or export the file again."
        )
    condition = float(np.linalg.cond(spillover.matrix))
    if not condition < MAX_CONDITION:
        raise DataError(
            f"{where}: the spillover matrix of {len(spillover.channels)} channels cannot be inverted "
            f"(condition number {condition:.1e}; expected below {MAX_CONDITION:.0e}). "
            "Set compensate = false, or export the file again."
        )
    columns = [list(channels).index(channel) for channel in spillover.channels]
    compensated = intensities.copy()
    # (n_events, k) = (n_events, k) · (k, k), transposed: solve takes the unknown on the right
    compensated[:, columns] = np.linalg.solve(spillover.matrix.T, intensities[:, columns].T).T
    return compensated


def _read_matrix(fields: Sequence[str], n_channels: int, keyword: str, where: str) -> Float64s:
    try:
        matrix = np.array([float(field) for field in fields]).reshape(n_channels, n_channels)
    except ValueError as error:
        raise DataError(
            f"{where}: {keyword.upper()} holds something that is not a number ({error}). Export the file again."
        ) from error
    if not np.isfinite(matrix).all():
        raise DataError(f"{where}: {keyword.upper()} holds a number that is not finite. Export the file again.")
    return matrix
