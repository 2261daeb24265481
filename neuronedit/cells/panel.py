"""The panel: which markers a model sees, in which order, on which scale."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
from pydantic import Field, model_validator

from neuronedit.cells.names import comparable, tell_no_markers
from neuronedit.cells.tables import Row, read_rows
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

log = logging.getLogger(__name__)

FLUORESCENCE_COFACTOR = 150.0

Role = Literal["lineage", "state", "ignore"]

IGNORE: Role = "ignore"
"""The role of what is neither modelled nor edited."""


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
        roles: By marker, of those that have one: ``lineage`` tells cell types apart, ``state`` changes within one.
            What the panel file says to ``ignore`` is named, too, and is no marker.

    Raises:
        PanelError: There is no marker, one is named twice or not at all, or transforms or roles do not fit.
    """

    markers: tuple[str, ...]
    transforms: tuple[Transform, ...]
    roles: Mapping[str, Role] = field(repr=False, hash=False)

    def __init__(
        self,
        markers: Sequence[str],
        transforms: Sequence[Transform | float],
        roles: Mapping[str, Role] | None = None,
    ) -> None:
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
        object.__setattr__(self, "roles", dict(roles or {}))
        self._check_names()

    def _check_names(self) -> None:
        if "" in self.markers:
            raise PanelError(
                f"Marker {self.markers.index('') + 1} of the panel has no name. Name it, or leave its row out."
            )
        repeated = [marker for marker, count in Counter(self.markers).items() if count > 1]
        if repeated:
            raise PanelError(f"The panel names {listing(repeated)} more than once. Name each marker once.")
        for name, role in self.roles.items():
            if (role == IGNORE) == (name in self.markers):
                here = "" if role == IGNORE else " not"
                raise PanelError(f"{name!r} has the role {role!r} and is{here} in the panel. Correct the role.")

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
    r"""Read a panel file: CSV, or .xlsx, with the column ``marker`` and, optionally, others.

    ``channel`` is the raw detector name ($PnN) and may be left out if only markers are needed. ``transform`` is
    arcsinh where it is missing or empty; a parameter's column (``cofactor``, or ``top``, ``width``, ``decades``,
    ``negatives`` of logicle) is the usual value, such as the cofactor 5 of mass cytometry. ``role`` is empty,
    ``lineage``, ``state``, or ``ignore``: such a row is no marker of the panel, and needs no name.

    Returns:
        The panel, and the marker's name by channel, also of those to ignore.

    Raises:
        PanelError: The file cannot be read, lacks a column, names something twice, or a transform makes no sense.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "panel.csv").write_text("channel,marker\nY89Di,CD45")
        ...     read_panel(Path(folder, "panel.csv"))
        (Panel(markers=('CD45',), transforms=(Arcsinh(cofactor=5.0),)), {'Y89Di': 'CD45'})
    """
    first, *rows = read_rows(path, "panel file", PanelError) or [Row(1, ())]
    columns = [cell.casefold() for cell in first.cells]
    if "marker" not in columns or not rows:
        found = "no rows" if "marker" in columns or not columns else listing(first.cells)
        raise PanelError(
            f"{path}: expected a CSV or .xlsx with the column 'marker' (and 'channel', 'cofactor', …); found {found}."
        )
    repeated = [column for column, count in Counter(columns).items() if column and count > 1]
    if repeated:
        raise PanelError(f"{path}: column {listing(repeated)} stands more than once. Name each column once.")
    _tell_unread(path, columns)
    lines = [_PanelLine.of(path, row.line, columns, row.cells) for row in rows]
    _check_unique(path, lines, "marker", [line.marker() for line in lines])
    _check_unique(path, lines, "channel", [line.channel() for line in lines])
    modelled = [line for line in lines if line.role() != IGNORE]
    ignored = [line.marker() or line.channel() for line in lines if line.role() == IGNORE]
    if not modelled:
        raise PanelError(f"{path}: every marker has the role 'ignore'. Empty the cell of those to model.")
    if ignored:
        log.info("%s: by their role neither modelled nor edited: %s", path, listing(ignored))
    roles = {line.marker(): role for line in lines if line.marker() and (role := line.role())}
    panel = Panel([line.marker() for line in modelled], [line.transform() for line in modelled], roles)
    return panel, {line.channel(): line.marker() for line in lines if line.channel() and line.marker()}


@dataclass(frozen=True)
class _PanelLine:
    """One line of a panel file: where it stands, and its cells by column."""

    where: str
    number: int
    cells: Mapping[str, str]

    @classmethod
    def of(cls, path: str | Path, number: int, columns: Sequence[str], cells: Sequence[str]) -> Self:
        where = f"{path}, line {number}"
        if any(cells[len(columns) :]):
            raise PanelError(
                f"{where}: expected {len(columns)} cells, as the first line has; found {len(cells)}. "
                "Quote cells that contain the separator."
            )
        found = cls(where, number, dict(zip(columns, cells, strict=False)))
        if not found.marker() and not (found.channel() and found.role() == IGNORE):
            raise PanelError(f"{where}: the marker has no name. Name it, or leave its row out.")
        return found

    def marker(self) -> str:
        return self.cells.get("marker", "")

    def channel(self) -> str:
        return self.cells.get("channel", "")

    def role(self) -> Role | None:
        text, known = self.cells.get("role", ""), get_args(Role)
        found = next((role for role in known if role == text.casefold()), None)
        if text and not found:
            raise PanelError(
                f"{self.where}: marker {self.marker()!r} has the role {text!r}; expected {listing(known)} or "
                f"nothing{nearest_name(text, known)}. Correct it, or rename the column if it means something else."
            )
        return found

    def transform(self) -> Transform:
        columns = dict.fromkeys(column for names in PARAMETERS.values() for column in names)
        texts = {column: self.cells.get(column, "") for column in ("transform", *columns)}
        name = texts.pop("transform") or Arcsinh.name
        try:
            return make_transform(name, {column: _number(column, text) for column, text in texts.items() if text})
        except PanelError as error:
            raise PanelError(f"{self.where}: marker {self.marker()!r}: {error}") from error


def _check_unique(path: str | Path, lines: Sequence[_PanelLine], noun: str, names: Sequence[str]) -> None:
    counts = Counter(comparable(name) for name in names if name)
    repeated = [name for name in names if counts[comparable(name)] > 1]
    if repeated:
        places = ", ".join(str(line.number) for line, name in zip(lines, names, strict=True) if name in repeated)
        alike = len(set(repeated)) > len(set(map(comparable, repeated)))
        raise PanelError(
            f"{path}, lines {places}: {noun} {listing(dict.fromkeys(repeated))} stands more than once"
            f"{', in two kinds of letters that look alike' if alike else ''}. Name each {noun} once."
        )


def _tell_unread(path: str | Path, columns: Sequence[str]) -> None:
    """Warn of columns that are nearly named like those that are read."""
    known = ("channel", "marker", "role", "transform", *(name for names in PARAMETERS.values() for name in names))
    for column in columns:
        near = nearest_name(column, set(known) - set(columns)) if column not in known else ""
        if near:
            log.warning("%s: the column %r is not read%s. Rename it, if that is meant.", path, column, near)


def _number(column: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise PanelError(f"{column} is {text!r}; expected a number.") from error


class PanelConfig(Config):
    """The markers to model: a panel file, or a list of names with one cofactor of arcsinh."""

    file: str | None = Field(
        None,
        description="CSV or .xlsx: marker and, optionally, channel, role, transform and its parameters",
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
        panel = read_panel(self.file)[0] if self.file else Panel(self.markers, (self.cofactor,) * len(self.markers))
        unknown = [marker for marker in self.exclude if marker not in panel.markers]
        if unknown:
            raise PanelError(
                f"panel.exclude: {listing(unknown)} is not in the panel{nearest_name(unknown[0], panel.markers)}. "
                "Correct the name."
            )
        kept = [pair for pair in zip(panel.markers, panel.transforms, strict=True) if pair[0] not in self.exclude]
        roles = {name: role for name, role in panel.roles.items() if name not in self.exclude}
        panel = Panel([marker for marker, _ in kept], [transform for _, transform in kept], roles)
        tell_no_markers(panel.markers, self.file or "panel.markers")
        return panel
