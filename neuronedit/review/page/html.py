"""The review as two self-contained HTML files, and as a folder with its tables and figures.

``review.html`` has what decides, ``neurons.html`` everything neuron by neuron.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from neuronedit.cells.tables import csv_text, write_csv
from neuronedit.measures.distances import DECISIVE
from neuronedit.measures.halves import N_SPLITS
from neuronedit.model.gates import TONES
from neuronedit.review.job_figures import loss_figure
from neuronedit.review.page.report import Review
from neuronedit.review.page.sections import Section, sections
from neuronedit.review.part import FAMILIES, Drawing, save, slug
from neuronedit.review.transfer.readings import read_losses, read_reconstruction

PAGE, NEURONS_PAGE = "review.html", "neurons.html"

PNG_DPI = 150

MAX_SECTIONS = 6
"""Comparisons that are shown in full; of others the page has the summary, its folder all tables and figures."""

MAX_RESTRICTIONS = 5
"""Restrictions on the first screen; the others are unfolded."""

MAX_FIGURES = 5
"""Views of cells that are shown on the first page; further ones are unfolded."""

MAX_ROWS = 50
"""Rows of a table shown in the page; the others are in its file."""

TOLD_OF_NEURONS = ("conductance", "faithfulness", "cycle", "student", "matching", "patterns", "drift")
"""Parts of the neurons' page that the first page tells in a line."""


def render_page(review: Review) -> str:
    """Render what decides: the decision, its checks, what the edit does to cells, every marker, the evidence.

    Example:
        >>> from neuronedit.review.page.review_model import example_review
        >>> page = render_page(example_review())
        >>> page[:15], "example, version 1" in page
        ('<!doctype html>', True)
    """
    found = sections(review)
    return page_template("review.html.j2").render(
        **_common(review),
        sections=found,
        n_shown=len(review.histograms),
        first=found[0],
        gates=sorted(review.gates, key=lambda gate: TONES.index(gate.tone)),
        n_markers=review.markers["marker"].nunique(),
        n_splits=N_SPLITS,
        left_out=review.evidence_table(),
        histograms=_json({name: review.histograms.get(name) for name in (each.verdict.comparison for each in found)}),
        max_figures=MAX_FIGURES,
        told_of_neurons=TOLD_OF_NEURONS,
        restrictions=[sentence for sentence in review.restrictions if sentence not in review.decision.why],
        max_restrictions=MAX_RESTRICTIONS,
        neurons_page=NEURONS_PAGE,
        facts={name: fact for name, fact in review.facts.items() if not name.startswith(("edit ", "error of "))},
    )


def render_neurons(review: Review) -> str:
    """Render the expert's page: every edit neuron by neuron, every comparison, reconstruction and training.

    Example:
        >>> from neuronedit.review.page.review_model import example_review
        >>> "Neuron by neuron: example, version 1" in render_neurons(example_review())
        True
    """
    found = sections(review)
    return page_template("neurons.html.j2").render(
        **_common(review),
        sections=found[:MAX_SECTIONS],
        n_comparisons=len(found),
        loss_drawing=_loss_drawing(review.losses),
        families=FAMILIES,
        review_page=PAGE,
    )


def _common(review: Review) -> dict[str, Any]:
    return {
        "review": review,
        "title": _title(review.identity),
        "decision": review.decision,
        "reconstruction_reading": read_reconstruction(review.reconstruction),
    }


def _json(values: object) -> Markup:
    """Plain values for a script: no text in them can end it."""
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e"))


def page_template(name: str) -> jinja2.Template:
    """A template of this package; it can embed figures, offer tables for download, and write numbers.

    Example:
        >>> page_template("review.html.j2").globals["percent"](0.5)
        '50.0%'
    """
    folder = files(__package__)
    loader = jinja2.FunctionLoader(lambda named: (folder / named).read_text(encoding="utf-8"))
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.globals.update(embed=_embed, download=_download, number=_number, percent=_percent, rows_of=_rows_of)
    environment.globals.update(metrics=DECISIVE)
    return environment.get_template(name)


def write_decision(review: Review, folder: Path) -> None:
    """Write ``review.html``, its tables as CSV and its figures, as the page has them, into an existing folder.

    The overview of the comparison to look at first is PNG besides.

    Example:
        >>> import tempfile
        >>> from neuronedit.review.page.review_model import example_review
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_decision(example_review(), Path(folder))
        ...     sorted(path.name for path in Path(folder).glob("[mr]*"))
        ['markers.csv', 'methods.csv', 'reconstruction.csv', 'review.html']
    """
    (folder / PAGE).write_text(render_page(review), encoding="utf-8")
    for name, table in review_tables(review).items():
        write_csv(table, folder / f"{name}.csv")
    _save_overviews(sections(review)[:1], folder, first=1)
    drawings = [drawing for part in review.parts for drawing in part.drawings]
    _write(((f"cells_{drawing.name}", drawing) for drawing in drawings), folder)


def rewrite_page(review: Review, folder: Path) -> None:
    """Write ``review.html`` anew, with what the neurons say, where all else of it is written.

    Example:
        >>> import tempfile
        >>> from neuronedit.review.page.review_model import example_review
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rewrite_page(example_review(), Path(folder))
        ...     [path.name for path in Path(folder).iterdir()]
        ['review.html']
    """
    (folder / PAGE).write_text(render_page(review), encoding="utf-8")


def write_neurons(review: Review, folder: Path) -> None:
    """Write ``neurons.html``, its tables as CSV and its figures, as the page has them, into an existing folder.

    Overviews of the comparisons but the first are PNG besides.

    Example:
        >>> import tempfile
        >>> from neuronedit.review.page.review_model import example_review
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_neurons(example_review(), Path(folder))
        ...     sorted(path.name for path in Path(folder).glob("*.html"))
        ['neurons.html']
    """
    (folder / NEURONS_PAGE).write_text(render_neurons(review), encoding="utf-8")
    _save_overviews(sections(review)[1:], folder, first=2)
    for index, section in enumerate(sections(review), start=1):
        _write(((f"{index}_{drawing.name}", drawing) for drawing in section.drawings()), folder)
    for edit in review.edits:
        for name, table in edit.tables.items():
            write_csv(table, folder / f"{slug(edit.edit)}_{name}.csv")
        drawings = [drawing for part in edit.parts for drawing in part.drawings]
        _write(((f"{slug(edit.edit)}_{drawing.name}", drawing) for drawing in drawings), folder)
    if losses := _loss_drawing(review.losses):
        _write([(losses.name, losses)], folder)


def _save_overviews(shown: Sequence[Section], folder: Path, first: int) -> None:
    for index, section in enumerate(shown, start=first):
        save(section.overview_drawing.figure, folder / f"{index}_{section.overview_drawing.name}.png", dpi=PNG_DPI)


def _write(drawings: Iterable[tuple[str, Drawing]], folder: Path) -> None:
    """Write figures by their names, with the bytes that a page has of them: drawing them again would cost as much."""
    for name, drawing in drawings:
        kind, image = drawing.image
        (folder / f"{name}.{kind.partition('+')[0]}").write_bytes(image)


def review_tables(review: Review) -> dict[str, pd.DataFrame]:
    """Give the tables of the page that decides, by the names of their files.

    Example:
        >>> from neuronedit.review.page.review_model import example_review
        >>> list(review_tables(example_review()))
        ['summary', 'gates', 'evidence', 'methods', 'markers', 'densities', 'reconstruction', 'losses', 'cells_biaxial',
        'cells_embedding', 'cells_curves']
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
        **{f"cells_{name}": table for part in review.parts for name, table in part.tables.items()},
    }


def _title(identity: Mapping[str, str]) -> str:
    name, version = identity.get("name", "neuronedit model"), identity.get("version")
    return f"{name}, version {version}" if version else name


def _loss_drawing(losses: pd.DataFrame) -> Drawing | None:
    if losses.empty:
        return None
    alt = "Training and validation error by epoch"
    return Drawing("losses", lambda: loss_figure(losses), alt, read_losses(losses))


def _embed(drawing: Drawing, said: str = "") -> Markup:
    """The figure as an image in the page, with as much of its reading below it as was not ``said`` already."""
    kind, image = drawing.image
    further = drawing.reading.removeprefix(said).lstrip()
    caption = f"<figcaption>{escape(further)}</figcaption>" if further else ""
    finding = "" if drawing.reading in drawing.alt else f". {drawing.reading}"
    return Markup(
        f'<figure><div class="wide"><img alt="{escape(drawing.alt)}{escape(finding)}" '
        f'src="data:image/{kind};base64,{base64.b64encode(image).decode()}"></div>{caption}</figure>'
    )


def _rows_of(table: pd.DataFrame) -> Markup:
    """The first rows of a table; a neuron whose name is not to be trusted is grey."""
    head = "".join(f'<th scope="col">{escape(str(column))}</th>' for column in table.columns)
    trusted = table["trusted"] if "trusted" in table else pd.Series(True, table.index)
    rows = [
        f"<tr class='{'' if trust else 'untrusted'}'>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>"
        for row, trust in zip(table.head(MAX_ROWS).itertuples(index=False), trusted.head(MAX_ROWS), strict=True)
    ]
    return Markup(f"<table class='sortable'><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>")


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
    return "–" if pd.isna(value) else f"{value:z.3f}"  # z: no minus before a zero


def _percent(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.1%}"
