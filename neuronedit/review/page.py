"""The review as one HTML file that needs nothing else, and as a folder with its tables and figures."""

import base64
import io
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import jinja2
import matplotlib as mpl
import pandas as pd
from markupsafe import Markup, escape

from neuronedit.review.figures import loss_figure
from neuronedit.review.part import Drawing
from neuronedit.review.reading import read_losses, read_reconstruction
from neuronedit.review.report import Review
from neuronedit.review.section import sections

PAGE = "review.html"

PNG_DPI = 150


def render_page(review: Review) -> str:
    """The page: summary, what the model is, reconstruction, every comparison, losses; no reference leads outside."""
    return page_template("page.html.j2").render(
        review=review,
        title=_title(review.identity),
        rows=review.summary().to_dict("records"),
        sections=sections(review),
        n_markers=review.markers["marker"].nunique(),
        reconstruction_reading=read_reconstruction(review.reconstruction),
        loss_drawing=_loss_drawing(review.losses),
    )


def page_template(name: str) -> jinja2.Template:
    """A template of this package; it can embed figures, offer tables for download, and write numbers."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.globals.update(embed=_embed, download=_download, number=_number, percent=_percent)
    return environment.from_string((files(__package__) / name).read_text(encoding="utf-8"))


def write_review(review: Review, folder: Path) -> None:
    """Write ``review.html``, the tables as CSV and the figures as PNG into an existing folder."""
    (folder / PAGE).write_text(render_page(review), encoding="utf-8")
    for name, table in review_tables(review).items():
        table.to_csv(folder / f"{name}.csv", index=False)
    for index, section in enumerate(sections(review), start=1):
        for drawing in section.drawings():
            drawing.draw().savefig(folder / f"{index}_{drawing.name}.png", dpi=PNG_DPI)
        section.overview().savefig(folder / f"{index}_overview.png", dpi=PNG_DPI)
    if losses := _loss_drawing(review.losses):
        losses.draw().savefig(folder / f"{losses.name}.png", dpi=PNG_DPI)


def review_tables(review: Review) -> dict[str, pd.DataFrame]:
    """The tables by the name of their file."""
    return {
        "summary": review.summary(),
        "gates": review.gate_table(),
        "methods": review.methods,
        "markers": review.markers,
        "densities": review.densities,
        "reconstruction": review.reconstruction,
        "losses": review.losses,
    }


def _title(identity: Mapping[str, str]) -> str:
    name, version = identity.get("name", "neuronedit model"), identity.get("version")
    return f"{name}, version {version}" if version else name


def _loss_drawing(losses: pd.DataFrame) -> Drawing | None:
    if losses.empty:
        return None
    alt = "Training and validation error by epoch"
    return Drawing("losses", lambda: loss_figure(losses), alt, read_losses(losses))


def _embed(drawing: Drawing) -> Markup:
    """The figure as an image in the page, with its reading below it."""
    buffer = io.BytesIO()
    # Fixed salt and no date: the same review gives the same page, byte for byte.
    with mpl.rc_context({"svg.hashsalt": "neuronedit", "svg.fonttype": "path"}):
        drawing.draw().savefig(buffer, format="svg", metadata={"Date": None})
    image = base64.b64encode(buffer.getvalue()).decode()
    return Markup(
        f'<figure><div class="wide"><img class="{escape(drawing.name)}" alt="{escape(drawing.alt)}" '
        f'src="data:image/svg+xml;base64,{image}"></div><figcaption>{escape(drawing.reading)}</figcaption></figure>'
    )


def _download(table: pd.DataFrame, name: str) -> Markup:
    """A link that saves the table as CSV, held in the page itself."""
    content = base64.b64encode(table.to_csv(index=False).encode()).decode()
    return Markup(
        f'<a class="download" download="{escape(name)}.csv" href="data:text/csv;charset=utf-8;base64,{content}">'
        f"{escape(name)}.csv</a>"
    )


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3f}"


def _percent(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.1%}"
