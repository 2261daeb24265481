"""A part of the review, ready for the page: one feature's tables, figures, sentences and numbers.

Parts of single neurons: conductance, faithfulness, names, the logit, the ladder, the preferred cell.

Computed sentences about the figures of an edit's neurons, and the warnings beside them.

Names of metrics and files, from what people call things.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuronedit.arrays import Float64s, Int64s

Family = Literal["cytometry", "neurons", "support", "composition", "health", "consistency"]

FAMILIES: Final[Mapping[Family, str]] = {
    "cytometry": "What the edit does to cells",
    "neurons": "Neuron by neuron",
    "support": "Where it may be applied",
    "composition": "Biology, or another mix of cells",
    "health": "Health of the network",
    "consistency": "Consistency",
}
"""Titles, in the page's order."""


MAX_SVG_BYTES, PAGE_DPI = 150_000, 110
"""Figures of more lines are embedded as points, so that the page that decides stays below 2 MB."""

_PLACES, _TOO_FINE = re.compile(r' (?:d|x|y)="[^"]*"'), re.compile(r"(\.\d\d)\d+")
"""Matches coordinates of an SVG's lines, in points: a hundredth is finer than any screen or paper."""


@dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn, and a sentence that says what it shows.

    Attributes:
        name: Names its file.
        draw: Draws the figure.
        alt: Describes the figure to readers who do not see it.
        reading: One sentence on what it shows.
        points: Whether it has too many lines to be embedded as lines.
    """

    name: str
    draw: Callable[[], Figure]
    alt: str
    reading: str
    points: bool = False

    @cached_property
    def figure(self) -> Figure:
        """The figure, drawn once, however often it is saved."""
        return self.draw()

    @cached_property
    def image(self) -> tuple[str, bytes]:
        """The figure for a page, its kind and its bytes: lines, or points where there are too many lines."""
        if not self.points and len(lines := _lines(self.figure)) <= MAX_SVG_BYTES:
            return "svg+xml", lines
        buffer = io.BytesIO()
        save(self.figure, buffer, format="png", dpi=PAGE_DPI, metadata={"Software": None})
        return "png", buffer.getvalue()


def _lines(figure: Figure) -> bytes:
    """Draw a figure as SVG, with coordinates no finer than can be seen."""
    buffer = io.BytesIO()
    # Fixed salt and no date: the same review gives the same page, byte for byte.
    with mpl.rc_context({"svg.hashsalt": "neuronedit", "svg.fonttype": "path"}):
        save(figure, buffer, format="svg", metadata={"Date": None})
    return _PLACES.sub(lambda places: _TOO_FINE.sub(r"\1", places.group()), buffer.getvalue().decode()).encode()


def save(figure: Figure, file: Path | io.BytesIO, **options: Any) -> None:
    """Save a figure, and keep the layout that was found for it: to find it again costs as much as to draw.

    Example:
        >>> buffer = io.BytesIO()
        >>> save(Figure(figsize=(1, 1)), buffer, format="png", dpi=20)
        >>> buffer.getvalue()[1:4]
        b'PNG'
    """
    figure.savefig(file, **options)
    figure.set_layout_engine("none")


@dataclass(frozen=True)
class Part:
    """One feature of the review.

    Attributes:
        name: Names its files and metrics, e.g. ``conductance``.
        title: Its name for people, e.g. ``Edit conductance``.
        family: Its chapter of the page.
        reading: One sentence on the result, with its numbers.
        tables: Tables by the name of their file; each can be downloaded.
        drawings: Figures in the page's order.
        scalars: Numbers for MLflow's compare view; all finite.
        warning: A caution beside it, e.g. that names are not to be trusted; may be empty.
    """

    name: str
    title: str
    family: Family
    reading: str
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    drawings: tuple[Drawing, ...] = ()
    scalars: Mapping[str, float] = field(default_factory=dict)
    warning: str = ""


def long_table(neurons: Int64s, marker_names: tuple[str, ...], **values: Float64s) -> pd.DataFrame:
    """A row for each of some neurons and each marker, with a column for each array of (n_neurons, n_markers).

    Example:
        >>> table = long_table(np.array([1]), ("CD4", "CD8"), change=np.array([[0.0, 0.0], [0.5, 2.0]]))
        >>> table.to_numpy().tolist()
        [[1, 'CD4', 0.5], [1, 'CD8', 2.0]]
    """
    return pd.DataFrame(
        {
            "neuron": np.repeat(neurons, len(marker_names)),
            "marker": np.tile(np.array(marker_names, dtype=object), len(neurons)),
            **{name: array[neurons].ravel() for name, array in values.items()},
        }
    )


def call_neurons(table: pd.DataFrame, names: Sequence[str], *columns: str) -> pd.DataFrame:
    """Write neurons' names in the place of their numbers; a table stays as it is where they have no names.

    Args:
        table: Has numbers of neurons in some columns.
        names: (n_neurons,), or none.
        columns: These; ``neuron`` by default.

    Example:
        >>> table = pd.DataFrame({"neuron": [1, 0], "share": [0.9, 0.1]})
        >>> call_neurons(table, ["encoder.2/0", "decoder.2/0"])["neuron"].tolist()
        ['decoder.2/0', 'encoder.2/0']
        >>> call_neurons(table, [])["neuron"].tolist()
        [1, 0]
    """
    if not names:
        return table
    words = np.array(names, dtype=object)
    return table.assign(**{column: words[table[column].to_numpy()] for column in columns or ("neuron",)})


def finite_scalars(scalars: Mapping[str, float]) -> dict[str, float]:
    """Keep the numbers that MLflow takes: finite ones.

    Example:
        >>> finite_scalars({"emd": 0.5, "energy": float("nan")})
        {'emd': 0.5}
    """
    return {name: value for name, value in scalars.items() if np.isfinite(value)}


FEW: Final = 4
"""Neurons that a reviewer can still look at one by one."""

NOTHING: Final = "The edit moves no neuron of this layer."


def slug(name: str) -> str:
    """Lower-case letters, digits and underscores, as MLflow and every file system take them.

    Example:
        >>> slug("CD4+ T cells")
        'cd4_t_cells'
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "unnamed"
