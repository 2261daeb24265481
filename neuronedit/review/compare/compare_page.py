"""A comparison of two models as one self-contained HTML file, and as a folder with its tables."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuronedit.cells.tables import write_csv
from neuronedit.model.gates import MARKS, Tone
from neuronedit.review.charts import BLUE, GREY, ORANGE
from neuronedit.review.compare.contender import example_contenders
from neuronedit.review.compare.side_by_side import SideBySide, compare_models
from neuronedit.review.page.html import page_template
from neuronedit.review.part import Drawing
from neuronedit.review.transfer.transfer import HELD_OUT, TRAINING_PAIR, example_comparison
from neuronedit.review.transfer.verdict import decisive_kind

COMPARE_PAGE = "compare.html"

SUBJECTS = {
    "facts": "The models",
    "settings": "Settings of their training",
    "scalars": "Numbers of their reviews",
}

MAX_DRAWN = 12
"""Markers of a comparison that are drawn, those first in which the models differ most; its table has all."""


def render_comparison(compared: SideBySide) -> str:
    """Render the page: both decisions and their checks, both models on the same events, and their differences.

    Example:
        >>> page = render_comparison(example_comparison_of_two())
        >>> "two is no different from one" in page
        True
    """
    return page_template("compare.html.j2").render(
        compared=compared,
        verdicts=compared.verdicts(),
        kinds=[(kind, rows, kind == decisive_kind(compared.methods)) for kind, rows in _by_kind(compared)],
        gates=[(gate, [_outcome(text) for text in texts]) for gate, *texts in compared.gates.itertuples(index=False)],
        subjects=SUBJECTS,
    )


def write_comparison(compared: SideBySide, folder: Path) -> None:
    """Write ``compare.html`` and the tables as CSV into an existing folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_comparison(example_comparison_of_two(), Path(folder))
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['compare.html', 'facts.csv', 'gates.csv', 'markers.csv', 'methods.csv', 'scalars.csv', 'settings.csv']
    """
    (folder / COMPARE_PAGE).write_text(render_comparison(compared), encoding="utf-8")
    tables = {"methods": compared.methods, "markers": compared.markers, "gates": compared.gates}
    for name, table in {**tables, **compared.differences}.items():
        write_csv(table, folder / f"{name}.csv")


def example_comparison_of_two() -> SideBySide:
    """Compare a model with itself under another name.

    Example:
        >>> example_comparison_of_two().names
        ('one', 'two')
    """
    first, second = example_contenders()
    return compare_models(first, second, [example_comparison()], first.model.panel)


def _by_kind(compared: SideBySide) -> list[tuple[str, list[tuple[str, pd.DataFrame, pd.DataFrame, Drawing]]]]:
    """The comparisons of each kind, held-out ones first: name, rows by method, rows by marker, figure."""
    found: dict[str, list[tuple[str, pd.DataFrame, pd.DataFrame, Drawing]]] = {HELD_OUT: [], TRAINING_PAIR: []}
    for comparison, rows in compared.methods.groupby("comparison", sort=False):
        name, markers = str(comparison), compared.markers[compared.markers["comparison"] == comparison]
        found[str(rows["kind"].iloc[0])].append((name, rows, markers, _drawing(compared, name)))
    return [(kind, sections) for kind, sections in found.items() if sections]


def _outcome(text: str | None) -> tuple[Tone, str, str]:
    """A gate's colour, outcome and reason; a dash where it was never computed."""
    if not isinstance(text, str):
        return "amber", "–", ""
    tone: Tone = "green" if text.startswith("pass") else "amber" if text.startswith("not measured") else "red"
    outcome, _, reason = text.partition(": ")
    return tone, f"{MARKS[tone]} {outcome}", reason


def _drawing(compared: SideBySide, comparison: str) -> Drawing:
    rows = compared.markers[compared.markers["comparison"] == comparison]
    furthest = rows.iloc[0]
    nearer = int((rows["second"] < rows["first"]).sum())
    return Drawing(
        "markers",
        lambda: _side_by_side_figure(rows.head(MAX_DRAWN), compared.names, compared.unit),
        f"Dots: the markers' EMD to the truth by both models, {comparison}",
        f"{compared.names[1]} is nearer to the truth on {nearer} of {len(rows)} markers; the models differ most on "
        f"{furthest['marker']} ({furthest['first']:.3f} and {furthest['second']:.3f}).",
    )


def _side_by_side_figure(rows: pd.DataFrame, names: tuple[str, str], unit: str) -> Figure:
    """Draw each marker's EMD without edit, by either model, and its noise floor, from one comparison's rows."""
    figure = Figure(figsize=(6.4, 1.3 + 0.22 * len(rows)), layout="constrained")
    axes = figure.subplots()
    heights = np.arange(len(rows))[::-1]
    axes.hlines(heights, rows["first"], rows["second"], color=GREY, lw=1)
    axes.plot(rows["before"], heights, "|", color=ORANGE, ms=9, label="without edit")
    axes.plot(rows["floor"], heights, "|", color="black", ms=9, label="noise floor")
    axes.plot(rows["first"], heights, "o", color="white", mec=GREY, ms=6, label=names[0])
    axes.plot(rows["second"], heights, "o", color=BLUE, ms=5, label=names[1])
    axes.set_yticks(heights, list(rows["marker"]), fontsize=8)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"EMD to the measured truth, {unit}", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return figure
