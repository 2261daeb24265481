"""A comparison of two models as one self-contained HTML file, and as a folder with its tables."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuronedit.cells.tables import write_csv
from neuronedit.review.charts import BLUE, GREY, ORANGE
from neuronedit.review.page.html import page_template
from neuronedit.review.page.side_by_side import SideBySide
from neuronedit.review.part import Drawing

COMPARE_PAGE = "compare.html"

SUBJECTS = {
    "facts": "The models",
    "settings": "Settings of their training",
    "gates": "Gates",
    "scalars": "Numbers of their reviews",
}


def render_comparison(compared: SideBySide) -> str:
    """Render the page: the second model beside the first on the same events, by marker, and their differences.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.page.side_by_side import Contender, compare_models
        >>> from neuronedit.review.transfer.transfer import example_comparison
        >>> models = (Contender(name, example_model(), {}, {}, {}) for name in ("one", "two"))
        >>> page = render_comparison(compare_models(*models, [example_comparison()], example_model().panel))
        >>> "two is no different from one" in page
        True
    """
    return page_template("compare.html.j2").render(
        compared=compared,
        verdicts=compared.verdicts(),
        sections=[
            (str(name), rows, compared.markers[compared.markers["comparison"] == name], _drawing(compared, str(name)))
            for name, rows in compared.methods.groupby("comparison", sort=False)
        ],
        subjects=SUBJECTS,
    )


def write_comparison(compared: SideBySide, folder: Path) -> None:
    """Write ``compare.html`` and the tables as CSV into an existing folder.

    Example:
        >>> import tempfile
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.page.side_by_side import Contender, compare_models
        >>> from neuronedit.review.transfer.transfer import example_comparison
        >>> models = (Contender(name, example_model(), {}, {}, {}) for name in ("one", "two"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_comparison(compare_models(*models, [example_comparison()], example_model().panel), Path(folder))
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['compare.html', 'facts.csv', 'gates.csv', 'markers.csv', 'methods.csv', 'scalars.csv', 'settings.csv']
    """
    (folder / COMPARE_PAGE).write_text(render_comparison(compared), encoding="utf-8")
    tables = {"methods": compared.methods, "markers": compared.markers, **compared.differences}
    for name, table in tables.items():
        write_csv(table, folder / f"{name}.csv")


def _drawing(compared: SideBySide, comparison: str) -> Drawing:
    rows = compared.markers[compared.markers["comparison"] == comparison]
    furthest = rows.iloc[0]
    nearer = int((rows["second"] < rows["first"]).sum())
    return Drawing(
        "markers",
        lambda: _side_by_side_figure(rows, compared.names, compared.unit),
        f"Dots: every marker's EMD to the truth by both models, {comparison}",
        f"{compared.names[1]} is nearer to the truth on {nearer} of {len(rows)} markers; the models differ most on "
        f"{furthest['marker']} ({furthest['first']:.3f} and {furthest['second']:.3f}).",
    )


def _side_by_side_figure(rows: pd.DataFrame, names: tuple[str, str], unit: str) -> Figure:
    """Draw each marker's EMD without edit, by either model, and its noise floor, from one comparison's rows."""
    figure = Figure(figsize=(8, 1.2 + 0.22 * len(rows)), layout="constrained")
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
    figure.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return figure
