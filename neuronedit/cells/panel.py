"""The panel: which markers a model sees, in which order, on which scale."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from neuronedit.cells.tables import workbook_kind
from neuronedit.cells.transforms import (
    MASS_COFACTOR,
    PARAMETERS,
    Arcsinh,
    Transform,
    common_unit,
    make_transform,
)
from neuronedit.config import Config
from neuronedit.errors import PanelError, listing, nearest_name


@dataclass(frozen=True, init=False)
class Panel:
    """Ordered markers, each with the transform of its intensities.

    A number stands for arcsinh with that cofactor: 5 for mass, 150 for fluorescence cytometry.

    Example:
        >>> from neuronedit import Panel
        >>> from neuronedit.cells.transforms import Logicle
        >>> Panel(("CD3", "CD19"), (5.0, Logicle())).transforms[0]
        Arcsinh(cofactor=5.0)

    Attributes:
        markers: Their names, in the order of the columns of intensities.
        transforms: Of each marker, in the same order.

    Raises:
        PanelError: There is no marker, one is named twice or not at all, or transforms do not fit.
    """

    markers: tuple[str, ...]
    transforms: tuple[Transform, ...]

    def __init__(self, markers: Sequence[str], transforms: Sequence[Transform | float]) -> None:
        if not markers:
            raise PanelError("The panel has no markers. Name at least one.")
        if len(markers) != len(transforms):
            raise PanelError(
                f"The panel has {len(markers)} markers but {len(transforms)} transforms. "
                "Give one transform, or cofactor of arcsinh, per marker."
            )
        made = map(_as_transform, markers, transforms)
        object.__setattr__(self, "markers", tuple(markers))
        object.__setattr__(self, "transforms", tuple(made))
        self._check_names()

    def _check_names(self) -> None:
        if "" in self.markers:
            raise PanelError(
                f"Marker {self.markers.index('') + 1} of the panel has no name. Name it, or leave its row out."
            )
        repeated = [marker for marker, count in Counter(self.markers).items() if count > 1]
        if repeated:
            raise PanelError(f"The panel names {listing(repeated)} more than once. Name each marker once.")

    @property
    def n_markers(self) -> int:
        """The number of markers."""
        return len(self.markers)

    @property
    def unit(self) -> str:
        """The unit of transformed values, for axes that markers share."""
        return common_unit(self.transforms)

    def check_columns(self, columns: Sequence[str], where: str) -> None:
        """Check that every marker is exactly one of the columns; further columns are allowed.

        Args:
            columns: The column names found.
            where: The file or table that has them, for the message.

        Raises:
            PanelError: A marker is missing, or a column name stands twice.

        Example:
            >>> Panel(("CD3",), (5.0,)).check_columns(["Time", "CD3"], "cells.parquet")
        """
        counts = Counter(columns)
        repeated = [name for name, count in counts.items() if count > 1]
        if repeated:
            raise PanelError(
                f"{where}: the column name {listing(repeated)} stands more than once. "
                "Rename or drop the surplus columns."
            )
        missing = [marker for marker in self.markers if marker not in counts]
        if missing:
            named = f"marker {missing[0]!r} is" if len(missing) == 1 else f"markers {listing(missing)} are"
            raise PanelError(
                f"{where}: {named} missing (the panel has {self.n_markers} markers; "
                f"this file has {self.n_markers - len(missing)} of them"
                f"{nearest_name(missing[0], set(columns) - set(self.markers))}). "
                "Rename the column, or train a model on a panel without the marker."
            )


def _as_transform(marker: str, given: Transform | float) -> Transform:
    try:
        return Arcsinh(float(given)) if isinstance(given, float | int | np.number) else given
    except PanelError as error:
        raise PanelError(f"Marker {marker!r}: {error}") from error


def read_panel(path: str | Path) -> tuple[Panel, dict[str, str]]:
    r"""Read a panel file: CSV with the column ``marker`` and, optionally, ``channel``, ``transform`` and parameters.

    ``channel`` is the raw detector name ($PnN) and may be left out if only markers are needed. ``transform`` is
    arcsinh where it is missing or empty; a parameter's column (``cofactor``, or ``top``, ``width``, ``decades``,
    ``negatives`` of logicle) is the usual value, such as the cofactor 5 of mass cytometry.

    Returns:
        The panel, and the marker's name by channel.

    Raises:
        PanelError: The file cannot be read, lacks a column, names something twice, or a transform makes no sense.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "panel.csv").write_text("channel,marker\nY89Di,CD45")
        ...     read_panel(Path(folder, "panel.csv"))
        (Panel(markers=('CD45',), transforms=(Arcsinh(cofactor=5.0),)), {'Y89Di': 'CD45'})
    """
    lines, rows = _read_rows(Path(path))
    markers = tuple((row["marker"] or "").strip() for row in rows)
    channels = [(row.get("channel") or "").strip() for row in rows]
    if "" in markers:
        number = markers.index("")
        raise PanelError(
            f"{path}, line {lines[number]}: Marker {number + 1} of the panel has no name. "
            "Name it, or leave its row out."
        )
    for noun, names in (("marker", markers), ("channel", channels)):
        repeated = [name for name, count in Counter(names).items() if name and count > 1]
        if repeated:
            places = ", ".join(str(line) for line, name in zip(lines, names, strict=True) if name in repeated)
            fault = f"names {listing(repeated)} more than once" if noun == "marker" else ""
            fault = fault or f"channel {listing(repeated)} stands more than once"
            raise PanelError(f"{path}, lines {places}: {fault}. Name each {noun} once.")
    panel = Panel(markers, tuple(_transform(row, path) for row in rows))
    return panel, {channel: marker for channel, marker in zip(channels, markers, strict=True) if channel}


def _read_rows(path: Path) -> tuple[list[int], list[dict[str, str | None]]]:
    """Read the line's number and the cells of every row; rows of empty cells, as Excel leaves them, are none."""
    try:
        if workbook := workbook_kind(path):
            raise PanelError(f"{path}: expected a CSV in UTF-8; found {workbook}. Save the panel as one.")
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            found = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PanelError(f"{path}: the panel file cannot be read ({error}). Check the path.") from error
    if not found or "marker" not in found[0][1]:
        names = listing(found[0][1]) if found else "no rows"
        raise PanelError(
            f"{path}: expected a CSV with the column 'marker' (and 'channel', 'transform', 'cofactor'); found {names}."
        )
    surplus = [line for line, row in found if any(cell.strip() for cell in row.get(None, ()))]
    if surplus:
        raise PanelError(
            f"{path}, line {surplus[0]}: has more cells than the first line has names. Quote cells that hold a comma."
        )
    filled = [(line, row) for line, row in found if any((row[name] or "").strip() for name in row if name)]
    if not filled:
        raise PanelError(f"{path}: no row of the panel has a marker. Name at least one.")
    return [line for line, _ in filled], [row for _, row in filled]


def _transform(row: Mapping[str, str | None], path: str | Path) -> Transform:
    columns = dict.fromkeys(column for names in PARAMETERS.values() for column in names)
    texts = {column: (row.get(column) or "").strip() for column in ("transform", *columns)}
    name = texts.pop("transform") or Arcsinh.name
    try:
        return make_transform(name, {column: _number(column, text) for column, text in texts.items() if text})
    except PanelError as error:
        raise PanelError(f"{path}: marker {row['marker']!r}: {error}") from error


def _number(column: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise PanelError(f"{column} is {text!r}; expected a number.") from error


class PanelConfig(Config):
    """The markers to model: a panel file, or a list of names with one cofactor of arcsinh."""

    file: str | None = Field(
        None, description="CSV with the columns marker and, optionally, channel, transform and its parameters"
    )
    markers: tuple[str, ...] = Field((), description="marker names, where there is no panel file")
    cofactor: float = Field(
        MASS_COFACTOR, gt=0, description="for panel.markers: 5 for mass, 150 for fluorescence cytometry"
    )
    exclude: tuple[str, ...] = Field((), description="markers of the panel to leave out: they stay untouched")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.file) == bool(self.markers):
            raise ValueError("give either panel.file or panel.markers")
        return self

    def read(self) -> Panel:
        """The panel, read and checked.

        Raises:
            PanelError: The file cannot be read, names something twice, or lacks a marker to exclude.
        """
        if self.file:
            panel, _ = read_panel(self.file)
        else:
            panel = Panel(self.markers, (self.cofactor,) * len(self.markers))
        unknown = [marker for marker in self.exclude if marker not in panel.markers]
        if unknown:
            raise PanelError(
                f"panel.exclude: {listing(unknown)} is not in the panel{nearest_name(unknown[0], panel.markers)}. "
                "Correct the name."
            )
        kept = [pair for pair in zip(panel.markers, panel.transforms, strict=True) if pair[0] not in self.exclude]
        return Panel([marker for marker, _ in kept], [transform for _, transform in kept])
