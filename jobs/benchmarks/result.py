"""What a benchmark gives: tables for people and further work, and figures for programs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

TABLE = "table"


@dataclass(frozen=True)
class Result:
    """A benchmark's outcome.

    Attributes:
        table: For people.
        figures: For programs; the last line on stdout.
        details: Further tables, by name, for the output folder.
        pictures: PNG files by name, for the output folder.
        pages: Pages in Markdown by name, for the output folder.
    """

    table: pd.DataFrame
    figures: dict[str, float]
    details: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write tables as ``NAME.md`` and ``NAME.parquet``, pages as ``NAME.md``, pictures as ``NAME.png``.

        Earlier ones are replaced.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in {TABLE: self.table, **self.details}.items():
            table.to_parquet(folder / f"{name}.parquet")
            (folder / f"{name}.md").write_text(markdown(table), encoding="utf-8")
        for name, page in self.pages.items():
            (folder / f"{name}.md").write_text(page, encoding="utf-8")
        for name, picture in self.pictures.items():
            (folder / f"{name}.png").write_bytes(picture)


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, its index first and numbers to three decimals."""
    named = table if table.index.name is None else table.reset_index()
    lines = [list(map(str, named.columns)), ["---"] * named.shape[1], *map(_cells, named.to_numpy(object).tolist())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(row: list[object]) -> list[str]:
    return [f"{value:.3f}" if isinstance(value, float) else str(value) for value in row]
