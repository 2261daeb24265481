"""The review as one self-contained HTML file, and as a folder with its tables and figures."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from neuronedit.cells.tables import csv_text, write_csv
from neuronedit.measures.distances import DECISIVE
from neuronedit.review.job_figures import loss_figure
from neuronedit.review.page.report import Review
from neuronedit.review.page.sections import Section, sections
from neuronedit.review.part import FAMILIES, Drawing, slug
from neuronedit.review.transfer.readings import read_losses, read_reconstruction
from neuronedit.review.transfer.verdict import decisive_kind

PAGE = "review.html"

PNG_DPI = 150

MAX_SVG_BYTES, PAGE_DPI = 150_000, 120
"""Figures of more lines are embedded as points: the page stays below 5 MB."""

MAX_SECTIONS = 6
"""Comparisons that are shown in full; of others the page has the summary, its folder all tables and figures."""

MAX_ROWS = 50
"""Rows of a table shown in the page; the others are in its file."""

_PLACES, _TOO_FINE = re.compile(r' (?:d|x|y)="[^"]*"'), re.compile(r"(\.\d\d)\d+")
"""Matches coordinates of an SVG's lines, in points: a hundredth is finer than any screen or paper."""


def render_page(review: Review) -> str:
    """The page: summary, what the model is, reconstruction, every comparison, losses; no reference leads outside.

    Example:
        >>> from neuronedit.review.page.report import example_review
        >>> page = render_page(example_review())
        >>> page[:15], "example, version 1" in page
        ('<!doctype html>', True)
    """
    return _page(review, sections(review))


def _page(review: Review, found: Sequence[Section]) -> str:
    return page_template("page.html.j2").render(
        review=review,
        title=_title(review.identity),
        rows=review.summary().to_dict("records"),
        sections=found[:MAX_SECTIONS],
        n_markers=review.markers["marker"].nunique(),
        reconstruction_reading=read_reconstruction(review.reconstruction),
        loss_drawing=_loss_drawing(review.losses),
        first_drawing=_first_drawing(review, found),
        families=FAMILIES,
        left_out=review.evidence_table(),
    )


def page_template(name: str) -> jinja2.Template:
    """A template of this package; it can embed figures, offer tables for download, and write numbers.

    Example:
        >>> page_template("page.html.j2").globals["percent"](0.5)
        '50.0%'
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.globals.update(embed=_embed, download=_download, number=_number, percent=_percent, rows_of=_rows_of)
    environment.globals.update(metrics=DECISIVE)
    return environment.from_string((files(__package__) / name).read_text(encoding="utf-8"))


def write_review(review: Review, folder: Path) -> None:
    """Write ``review.html``, the tables as CSV and the figures as PNG into an existing folder.

    Example:
        >>> import tempfile
        >>> from neuronedit.review.page.report import example_review
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_review(example_review(), Path(folder))
        ...     sorted(path.name for path in Path(folder).glob("m*"))
        ['markers.csv', 'methods.csv']
    """
    found = sections(review)
    (folder / PAGE).write_text(_page(review, found), encoding="utf-8")
    for name, table in review_tables(review).items():
        write_csv(table, folder / f"{name}.csv")
    for index, section in enumerate(found, start=1):
        for drawing in (*section.drawings(), section.overview_drawing):
            _save(drawing.figure, folder / f"{index}_{drawing.name}.png", dpi=PNG_DPI)
    for edit in review.edits:
        for part in edit.parts:
            for drawing in part.drawings:
                _save(drawing.figure, folder / f"{slug(edit.edit)}_{drawing.name}.png", dpi=PNG_DPI)
    if losses := _loss_drawing(review.losses):
        _save(losses.figure, folder / f"{losses.name}.png", dpi=PNG_DPI)


def review_tables(review: Review) -> dict[str, pd.DataFrame]:
    """The tables by the name of their file.

    Example:
        >>> from neuronedit.review.page.report import example_review
        >>> list(review_tables(example_review()))
        ['summary', 'gates', 'evidence', 'methods', 'markers', 'densities', 'reconstruction', 'losses']
    """
    return {
        "summary": review.summary(),
        "gates": review.gate_table(),
        "evidence": review.evidence_table(),
        "methods": review.methods,
        "markers": review.markers,
        "densities": review.densities,
        "reconstruction": review.reconstruction,
        "losses": review.losses,
        **{f"{slug(edit.edit)}_{name}": table for edit in review.edits for name, table in edit.tables.items()},
    }


def _title(identity: Mapping[str, str]) -> str:
    name, version = identity.get("name", "neuronedit model"), identity.get("version")
    return f"{name}, version {version}" if version else name


def _first_drawing(review: Review, found: Sequence[Section]) -> Drawing:
    """The overview of the first comparison that the verdict rests on."""
    kind = decisive_kind(review.methods)
    return next(section for section in found if section.verdict.kind == kind).overview_drawing


def _loss_drawing(losses: pd.DataFrame) -> Drawing | None:
    if losses.empty:
        return None
    alt = "Training and validation error by epoch"
    return Drawing("losses", lambda: loss_figure(losses), alt, read_losses(losses))


def _embed(drawing: Drawing, said: str = "") -> Markup:
    """The figure as an image in the page, with its reading below it, but for one that was ``said`` already."""
    kind, image = _image(drawing)
    caption = "" if drawing.reading == said else f"<figcaption>{escape(drawing.reading)}</figcaption>"
    classes = f"{escape(drawing.name)} natural" if said else escape(drawing.name)
    return Markup(
        f'<figure><div class="wide"><img class="{classes}" alt="{escape(drawing.alt)}" '
        f'src="data:image/{kind};base64,{base64.b64encode(image).decode()}"></div>{caption}</figure>'
    )


def _image(drawing: Drawing) -> tuple[str, bytes]:
    """Draw a figure as an image, and give its kind and bytes: lines, or points where there are too many lines."""
    buffer = io.BytesIO()
    # Fixed salt and no date: the same review gives the same page, byte for byte.
    with mpl.rc_context({"svg.hashsalt": "neuronedit", "svg.fonttype": "path"}):
        _save(drawing.figure, buffer, format="svg", metadata={"Date": None})
    lines = _PLACES.sub(lambda places: _TOO_FINE.sub(r"\1", places.group()), buffer.getvalue().decode()).encode()
    if len(lines) <= MAX_SVG_BYTES:
        return "svg+xml", lines
    buffer = io.BytesIO()
    _save(drawing.figure, buffer, format="png", dpi=PAGE_DPI, metadata={"Software": None})
    return "png", buffer.getvalue()


def _save(figure: Figure, file: Path | io.BytesIO, **options: Any) -> None:
    """Save a figure, and keep the layout that was found for it: to find it again costs as much as to draw."""
    figure.savefig(file, **options)
    figure.set_layout_engine("none")


def _rows_of(table: pd.DataFrame) -> Markup:
    """The first rows of a table; a neuron whose name is not to be trusted is grey."""
    head = "".join(f"<th>{escape(str(column))}</th>" for column in table.columns)
    trusted = table["trusted"] if "trusted" in table else pd.Series(True, table.index)
    rows = [
        f"<tr class='{'' if trust else 'untrusted'}'>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>"
        for row, trust in zip(table.head(MAX_ROWS).itertuples(index=False), trusted.head(MAX_ROWS), strict=True)
    ]
    return Markup(f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>")


def _cell(value: object) -> str:
    return _number(value) if isinstance(value, float) else str(escape(str(value)))


def _download(table: pd.DataFrame, name: str) -> Markup:
    """A link that saves the table as CSV, held in the page itself."""
    content = base64.b64encode(csv_text(table).encode()).decode()
    return Markup(
        f'<a class="download" download="{escape(name)}.csv" href="data:text/csv;charset=utf-8;base64,{content}">'
        f"{escape(name)}.csv</a>"
    )


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3f}"


def _percent(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.1%}"
