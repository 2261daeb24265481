"""The sample sheet: it assigns FCS files to samples and experiments."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuronedit.cells.tables import Row, read_rows
from neuronedit.errors import DataError, listing, nearest_name

REQUIRED = ("file", "sample_id", "batch_id")

_A_PATH = "a path; found a URI. FCS files are read from folders only: copy them to one, or mount the storage as one."


@dataclass(frozen=True)
class SheetRow:
    """One row of the sheet: the FCS file, by its absolute path, and its text in every column of the sheet."""

    path: Path
    labels: dict[str, str]

    @property
    def sample_id(self) -> str:
        """The sample's unique name."""
        return self.labels["sample_id"]


def read_sample_sheet(
    path: str | Path, fcs_folder: str | Path | None = None, markers: Sequence[str] = ()
) -> tuple[SheetRow, ...]:
    """Read a sample sheet: CSV, or .xlsx, with columns ``file``, ``sample_id``, ``batch_id`` and any others, as text.

    Cells are separated by commas, semicolons or tabs; the three columns may be written in capitals.

    Args:
        path: The sheet.
        fcs_folder: The folder of its files; by default the sheet's own.
        markers: Names that no column of the sheet may have.

    Raises:
        DataError: The sheet cannot be read, lacks a column or a value, names something twice, or names a file
            that does not exist; or a place is a URI.
    """
    for name, place in (("sample_sheet", path), ("fcs_folder", fcs_folder)):
        if "://" in str(place):
            raise DataError(f"{place}: expected {name} to be {_A_PATH}")
    path = Path(path)
    first, *rows = read_rows(path, "sample sheet", DataError) or [Row(1, ())]
    if not rows:
        found = "only column names" if first.cells else "nothing"
        raise DataError(f"{path}: expected a sample sheet with one line per FCS file; found {found}. Add the files.")
    n_columns = max(row.n_filled for row in (first, *rows))  # Excel adds empty ones
    columns = [cell.casefold() if cell.casefold() in REQUIRED else cell for cell in first.cells[:n_columns]]
    _check_columns(path, columns, markers)
    folder = path.parent if fcs_folder is None else Path(fcs_folder)
    samples = []
    for row in rows:
        if len(row.cells) < len(columns) or row.n_filled > len(columns):
            raise DataError(
                f"{path}, line {row.line}: expected {len(columns)} cells, as the first line has; found "
                f"{len(row.cells)}. Quote cells that contain a separator."
            )
        labels = dict(zip(columns, row.cells, strict=False))
        empty = [column for column in REQUIRED if not labels[column]]
        if empty:
            raise DataError(f"{path}, line {row.line}: the cell of column {listing(empty)} is empty. Fill it in.")
        if "://" in labels["file"]:
            raise DataError(f"{path}, line {row.line}: expected {labels['file']} to be {_A_PATH}")
        samples.append(SheetRow((folder / labels["file"]).absolute(), labels))
    lines = [row.line for row in rows]
    _check_unique(path, "file", lines, [_resolved(sample.path) for sample in samples])
    _check_unique(path, "sample_id", lines, [sample.sample_id for sample in samples])
    missing = [sample.labels["file"] for sample in samples if not _is_file(sample.path)]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(samples)} FCS files do not exist in {folder}: "
            f"{listing(missing, limit=len(missing))}. Correct the sheet, or set fcs_folder."
        )
    return tuple(samples)


def _check_columns(path: Path, columns: Sequence[str], markers: Iterable[str]) -> None:
    if "" in columns:
        raise DataError(f"{path}: column {columns.index('') + 1} has no name. Name it in the first line.")
    repeated = [column for column, count in Counter(columns).items() if count > 1]
    if repeated:
        raise DataError(f"{path}: column {listing(repeated)} stands more than once. Name each column once.")
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        raise DataError(
            f"{path}: column {missing[0]!r} is missing (found {listing(columns)}"
            f"{nearest_name(missing[0], set(columns) - set(REQUIRED))}). Add or rename the column."
        )
    taken = [column for column in columns if column in set(markers)]
    if taken:
        raise DataError(f"{path}: column {listing(taken)} has the name of a marker. Rename the column.")


def _check_unique(path: Path, column: str, lines: Sequence[int], values: Sequence[str]) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        places = ", ".join(str(line) for line, value in zip(lines, values, strict=True) if value in repeated)
        raise DataError(
            f"{path}, lines {places}: {column} {listing(repeated)} stands more than once. "
            "Give each sample its own line."
        )


def _resolved(path: Path) -> str:
    try:
        return str(path.resolve())
    except (OSError, RuntimeError, ValueError):  # links in a circle, a null byte
        return str(path.absolute())


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False
