"""Compensation: take out the light that each fluorochrome spills into other detectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuronedit.arrays import Float64s
from neuronedit.cells.tables import Row, read_rows
from neuronedit.errors import DataError, listing, nearest_name

SPILLOVER_KEYWORDS = ("$SPILLOVER", "SPILLOVER", "SPILL", "$SPILL", "$COMP", "COMP")
"""Keywords of FCS files that hold the matrix: $SPILLOVER (FCS 3.1), SPILL (Becton Dickinson), $COMP."""

MAX_CONDITION = 1e8
"""Beyond this condition number float32 intensities (24 bits) lose all their digits to the inversion."""

MAX_IDENTITY = 1e-4
"""Matrices of unmixed files have up to 1e-6 beside the diagonal; that compensates nothing."""


@dataclass(frozen=True)
class Spillover:
    """The share of each channel's light that reaches each detector.

    Attributes:
        channels: (n_channels,) names, in the matrix's order.
        matrix: (n_channels, n_channels) float64; a row is a channel's light, a column a detector.
        source: Where it was found: a keyword or a file.
    """

    channels: tuple[str, ...]
    matrix: Float64s
    source: str

    @property
    def is_identity(self) -> bool:
        """Whether no light is spilled, so that nothing is compensated."""
        return bool(np.abs(self.matrix - np.eye(len(self.channels))).max() < MAX_IDENTITY)


def spillover_keywords(keywords: Mapping[str, str]) -> list[str]:
    """Find the keywords of an FCS file that hold a spillover matrix.

    Example:
        >>> spillover_keywords({"$TOT": "9", "SPILL": "1,FITC,1", "$COMP": " "})
        ['SPILL']
    """
    return [name for name in SPILLOVER_KEYWORDS if keywords.get(name, "").strip()]


def read_spillover(keywords: Mapping[str, str], where: str) -> Spillover:
    """Read the spillover matrix from an FCS file's keywords; of several, the first that is not the identity.

    Args:
        keywords: The file's keywords, in capitals and with their ``$``.
        where: The file, for the message.

    Raises:
        DataError: The file has no matrix, or one whose size, names or numbers are wrong.

    Example:
        >>> read_spillover({"SPILL": "2,FITC,PE,1,0.25,0,1"}, "cells.fcs").matrix.tolist()
        [[1.0, 0.25], [0.0, 1.0]]
    """
    names = spillover_keywords(keywords)
    if not names:
        raise DataError(
            f"{where}: expected a spillover matrix to compensate with; "
            "found none of the keywords $SPILLOVER, SPILL and $COMP. "
            "Set compensate = false, or give the matrix as a CSV: --spillover matrix.csv."
        )
    found, faults = [], []
    for name in names:
        try:
            found.append(_read_keyword(keywords[name], name, where))
        except DataError as error:  # $COMP has another form in FCS 3.0
            faults.append(error)
    if not found:
        raise faults[0]
    return next((spillover for spillover in found if not spillover.is_identity), found[0])


def read_spillover_file(path: str | Path) -> Spillover:
    r"""Read a spillover matrix from a CSV: a line of channel names, then a line of numbers for each.

    Lines may begin with their channel's name, as FlowJo writes them; a name may be FlowJo's ``FITC-A :: CD3``. Shares
    in percent are divided by 100.

    Raises:
        DataError: The file cannot be read, or its size, names or numbers are wrong.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "matrix.csv").write_text(",FITC-A :: CD3,PE-A\nFITC-A,1,0.25\nPE-A,0,1\n")
        ...     read_spillover_file(Path(folder, "matrix.csv")).channels
        ('FITC-A', 'PE-A')
    """
    first, *rows = read_rows(path, "spillover matrix", DataError) or [Row(1, ())]
    named = first.cells[:1] == ("",) or (len(rows) == len(first.cells) - 1 and not all(map(_is_number_first, rows)))
    channels = tuple(_without_label(cell) for cell in first.cells[named:])
    if not channels or len(rows) != len(channels):
        raise DataError(
            f"{path}: expected a spillover matrix: a line of n channel names, and n lines of n numbers; found "
            f"{len(channels)} names and {len(rows)} lines. Export the matrix as CSV."
        )
    if len(set(channels)) != len(channels) or "" in channels:
        raise DataError(f"{path}: expected unique channel names in line {first.line}; found {listing(channels)}.")
    matrix = np.array([_read_line(path, row, channels, named) for row in rows])
    if named:
        told = [_without_label(row.cells[0]) for row in rows]
        if sorted(told) != sorted(channels):
            raise DataError(
                f"{path}: expected lines for the channels that the first line names, {listing(channels)}; found lines "
                f"for {listing(told)}. Correct the names."
            )
        matrix = matrix[[told.index(channel) for channel in channels]]
    if np.allclose(np.diag(matrix), 100):
        matrix = matrix / 100
    if not np.allclose(np.diag(matrix), 1):
        raise DataError(
            f"{path}: expected a spillover matrix, whose diagonal is 1 (or 100, in percent); found "
            f"{listing(np.diag(matrix).round(4).tolist())}. Give spillover, not its inverse."
        )
    return Spillover(channels, matrix, str(path))


def match_channels(spillover: Spillover, channels: Sequence[str], labels: Sequence[str], where: str) -> Spillover:
    """Give a matrix the channel names of a file: it may name channels by what they measure, or all by their numbers.

    Args:
        spillover: The matrix.
        channels: (n_channels,) of the file, in its order.
        labels: (n_channels,) what they measure, or an empty text.
        where: The file, for the message.

    Raises:
        DataError: It names a channel that the file lacks.

    Example:
        >>> by_label = Spillover(("FITC-A", "CD4"), np.eye(2), "SPILL")
        >>> match_channels(by_label, ["FITC-A", "PE-A"], ["", "CD4"], "cells.fcs").channels
        ('FITC-A', 'PE-A')
        >>> by_number = Spillover(("2", "1"), np.eye(2), "SPILL")
        >>> match_channels(by_number, ["FITC-A", "PE-A"], ["", ""], "cells.fcs").channels
        ('PE-A', 'FITC-A')
    """
    once = {label: channel for label, channel in zip(labels, channels, strict=True) if list(labels).count(label) == 1}
    by_name = dict(once) | {channel: channel for channel in channels}
    numbers = {str(number): channel for number, channel in enumerate(channels, start=1)}
    known = numbers if all(name in numbers and name not in by_name for name in spillover.channels) else by_name
    unknown = [name for name in spillover.channels if name not in known]
    if unknown:
        raise DataError(
            f"{where}: the spillover matrix ({spillover.source}) names channel {listing(unknown)}, which the file does "
            f"not have ({len(channels)} channels{nearest_name(unknown[0], channels)}). "
            "Set compensate = false, or give a matrix of its channels: --spillover matrix.csv."
        )
    matched = tuple(known[name] for name in spillover.channels)
    if len(set(matched)) != len(matched):
        raise DataError(
            f"{where}: the spillover matrix ({spillover.source}) names a channel twice: {listing(matched)}."
        )
    return Spillover(matched, spillover.matrix, spillover.source)


def compensate(intensities: Float64s, channels: Sequence[str], spillover: Spillover, where: str) -> Float64s:
    """Compute intensities without spillover: measured = true · matrix, solved for true.

    Args:
        intensities: (n_events, n_channels) float64, raw and linear.
        channels: (n_channels,) names of the columns, all of the matrix's among them.
        spillover: The matrix; channels that it does not name stay as they are.
        where: The file, for the message.

    Returns:
        (n_events, n_channels) float64, in a new array.

    Raises:
        DataError: The matrix cannot be inverted.

    Example:
        >>> spillover = Spillover(("FITC", "PE"), np.array([[1, 0.25], [0, 1]]), "SPILL")
        >>> compensate(np.array([[100.0, 25.0]]), ["FITC", "PE"], spillover, "cells.fcs").tolist()
        [[100.0, 0.0]]
    """
    condition = float(np.linalg.cond(spillover.matrix))
    if not condition < MAX_CONDITION:
        raise DataError(
            f"{where}: the spillover matrix of {len(spillover.channels)} channels ({spillover.source}) cannot be "
            f"inverted (condition number {condition:.1e}; expected below {MAX_CONDITION:.0e}). "
            "Set compensate = false, or give another matrix: --spillover matrix.csv."
        )
    columns = [list(channels).index(channel) for channel in spillover.channels]
    compensated = intensities.copy()
    # (n_events, k) = (n_events, k) · (k, k), transposed: solve takes the unknown on the right
    compensated[:, columns] = np.linalg.solve(spillover.matrix.T, intensities[:, columns].T).T
    return compensated


def _read_keyword(text: str, keyword: str, where: str) -> Spillover:
    fields = [field.strip() for field in text.split(",")]
    n_channels = int(fields[0]) if fields[0].isdecimal() and len(fields[0]) < 9 else 0
    if n_channels == 0 or len(fields) != 1 + n_channels + n_channels**2:
        raise DataError(
            f"{where}: {keyword} is not a spillover matrix: expected a count n, n channel names and n × n "
            f"numbers; found {len(fields)} fields, beginning {listing(field[:40] for field in fields[:3])}. "
            "Set compensate = false, or give the matrix as a CSV: --spillover matrix.csv."
        )
    channels = tuple(fields[1 : n_channels + 1])
    if len(set(channels)) != n_channels:
        raise DataError(f"{where}: {keyword} names a channel twice ({listing(channels)}). Export the file again.")
    try:
        matrix = np.array([float(field) for field in fields[n_channels + 1 :]]).reshape(n_channels, n_channels)
    except ValueError as error:
        raise DataError(
            f"{where}: {keyword} holds something that is not a number ({error}). Export the file again."
        ) from error
    if not np.isfinite(matrix).all():
        raise DataError(f"{where}: {keyword} holds a number that is not finite. Export the file again.")
    return Spillover(channels, matrix, keyword)


def _read_line(path: str | Path, row: Row, channels: Sequence[str], named: bool) -> list[float]:
    cells = row.cells[named:]
    try:
        numbers = [float(cell.replace(",", ".").removesuffix("%")) for cell in cells]
    except ValueError:
        numbers = []
    if len(numbers) != len(channels) or not np.isfinite(numbers).all():
        raise DataError(
            f"{path}, line {row.line}: expected {len(channels)} finite numbers, one for each channel; found "
            f"{listing(cells)}. Export the matrix as CSV."
        )
    return numbers


def _is_number_first(row: Row) -> bool:
    try:
        float(row.cells[0].replace(",", ".").removesuffix("%"))
    except ValueError:
        return False
    return True


def _without_label(name: str) -> str:
    return name.split(" :: ")[0].strip()
