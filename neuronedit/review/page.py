"""The review's page: one HTML file that works offline, with its figures and tables inside."""

from base64 import b64encode
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from neuronedit.design import Where
from neuronedit.review import figures
from neuronedit.review.report import Review
from neuronedit.review.transfer import NO_EDIT, Transfer

PAGE = "review.html"
DOTS_PER_INCH = 110


def write_review(review: Review, folder: Path) -> None:
    """Write ``review.html``, its tables as CSV and its overview as PNG into an existing folder."""
    (folder / PAGE).write_text(render_page(review), encoding="utf-8")
    for name, table in tables(review).items():
        table.to_csv(folder / f"{name}.csv", index=False)
    overview = figures.overview(_furthest(review), review.summary(), review.model.panel.markers)
    (folder / "overview.png").write_bytes(_png(overview))


def tables(review: Review) -> dict[str, pd.DataFrame]:
    """The tables behind the page, by the name of their file."""
    return {
        "methods": review.methods,
        "markers": review.markers,
        "reconstruction": review.reconstruction,
        "losses": review.losses,
    }


def render_page(review: Review) -> str:
    """The page as HTML text."""
    environment = Environment(
        loader=PackageLoader("neuronedit.review", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _embed, "download": _download, "chosen": _chosen}
    markers = review.model.panel.markers
    return environment.get_template("page.html.j2").render(
        review=review,
        model=review.model,
        facts=review.model.facts,
        summary=review.summary(),
        tables=tables(review),
        methods_figure=figures.methods(review.summary()),
        losses_figure=figures.losses(review.losses) if len(review.losses) else None,
        comparisons=[
            {
                "name": transfer.comparison.name,
                "kind": transfer.comparison.kind,
                "worse": review.markers[
                    (review.markers["comparison"] == transfer.comparison.name)
                    & (review.markers["kind"] == transfer.comparison.kind)
                    & (review.markers["after"] > review.markers["before"])
                ],
                "errors": figures.marker_errors(_markers_of(review, index), transfer.comparison.name),
                "densities": figures.densities(transfer, markers),
            }
            for index, transfer in enumerate(review.transfers)
        ],
    )


def _furthest(review: Review) -> Transfer:
    """Of the comparisons that the verdict rests on, the one with most to do."""
    shown = [transfer for transfer in review.transfers if transfer.comparison.kind == review.kind]
    return max(shown, key=lambda transfer: float(transfer.distances[NO_EDIT].emd.mean()))


def _markers_of(review: Review, index: int) -> pd.DataFrame:
    n_markers = review.model.panel.n_markers
    return review.markers.iloc[index * n_markers : (index + 1) * n_markers]


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return buffer.getvalue()


def _embed(figure: Figure, reading: str) -> Markup:
    """The figure inside the page, with the sentence that says how to read it."""
    source = "data:image/png;base64," + b64encode(_png(figure)).decode()
    return Markup('<figure><img alt="{}" src="{}"><figcaption>{}</figcaption></figure>').format(
        reading, source, reading
    )


def _chosen(where: Where) -> str:
    return ", ".join(f"{column} = {value}" for column, value in where.items())


def _download(table: pd.DataFrame, name: str) -> Markup:
    source = "data:text/csv;charset=utf-8," + quote(table.to_csv(index=False))
    return Markup('<a class="download" download="{}.csv" href="{}">table as CSV</a>').format(name, source)
