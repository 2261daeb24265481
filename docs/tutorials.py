"""Tutorials: Python scripts in the percent format, shown with what they printed and drew when they were last recorded.

A script is cells, as Jupyter and VS Code open them: ``# %% [markdown]`` begins text, in comments, ``# %%`` code. Tests
run them; ``python docs/tutorials.py NAME FOLDER`` runs one in a folder and records it in ``docs/tutorials/recorded``.
The documentation shows the record, so that it is built in seconds.
"""

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent / "tutorials"
RECORDED = HERE / "recorded"
CELL = re.compile(r"^# %%(?P<kind> \[markdown\])?[^\n]*\n", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """Text in Markdown, or code."""

    is_text: bool
    content: str


@dataclass(frozen=True)
class Output:
    """What a cell of code printed, and the figure that it drew, as PNG."""

    text: str
    figure: bytes | None


def scripts() -> list[Path]:
    """All tutorials."""
    return sorted(HERE.glob("*.py"))


def cells(script: Path) -> list[Cell]:
    """Take a script apart."""
    parts = CELL.split(script.read_text(encoding="utf-8"))[1:]
    found = []
    for kind, content in zip(parts[::2], parts[1::2], strict=True):
        text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in content.splitlines())
        found.append(Cell(bool(kind), (text if kind else content).strip()))
    return found


def run(script: Path) -> Iterator[tuple[int, Output]]:
    """Run a script in the current folder, cell by cell: each cell's number, and what came of it."""
    import matplotlib.pyplot as plt

    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells(script)):
        if cell.is_text:
            continue
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(cell.content, f"{script.name}, cell {number}", "exec"), names)
        figure = None
        if plt.get_fignums():
            drawn = io.BytesIO()
            plt.savefig(drawn, dpi=110, bbox_inches="tight", metadata={"Software": None})
            plt.close("all")
            figure = drawn.getvalue()
        yield number, Output(said.getvalue(), figure)


def record(script: Path) -> None:
    """Run a script in the current folder, and keep what it printed and drew."""
    folder, found = RECORDED / script.stem, [*run(script)]
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for number, output in found:
        if output.text:
            (folder / f"{number:02}.txt").write_text(output.text, encoding="utf-8")
        if output.figure:
            (folder / f"{number:02}.png").write_bytes(output.figure)


def page(script: Path) -> str:
    """A tutorial as a page: text, code, and what was recorded below it."""
    parts, folder = [], RECORDED / script.stem
    for number, cell in enumerate(cells(script)):
        if cell.is_text:
            parts.append(cell.content)
            continue
        parts.append(f"```python\n{cell.content}\n```")
        printed, drawn = folder / f"{number:02}.txt", folder / f"{number:02}.png"
        if printed.exists():
            parts.append(f"```text\n{printed.read_text(encoding='utf-8').rstrip()}\n```")
        if drawn.exists():
            parts.append(f"![What the code above draws](recorded/{script.stem}/{drawn.name})")
    source = f"This page is a script that tests run: `docs/tutorials/{script.name}`."
    return "\n\n".join([*parts, source]) + "\n"


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them."""
    app.connect("config-inited", lambda *_: [_write(script) for script in scripts()])
    return {"parallel_read_safe": True}


def _write(script: Path) -> None:
    target, text = script.with_suffix(".md"), page(script)
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    import os

    import matplotlib

    matplotlib.use("Agg")
    (chosen,) = (script for script in scripts() if script.stem == sys.argv[1])
    os.chdir(sys.argv[2])
    record(chosen)
