"""A part of the review, ready for the page: one feature's tables, figures, sentences and numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import pandas as pd
from matplotlib.figure import Figure

Family = Literal["neurons", "support", "composition", "health", "consistency"]

FAMILIES: Final[Mapping[Family, str]] = {
    "neurons": "Neuron by neuron",
    "support": "Where it may be applied",
    "composition": "Biology, or another mix of cells",
    "health": "Health of the network",
    "consistency": "Consistency",
}
"""Titles, in the page's order."""


@dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn, and a sentence that says what it shows.

    Attributes:
        name: Names its file.
        draw: Draws the figure.
        alt: Describes the figure to readers who do not see it.
        reading: One sentence on what it shows.
    """

    name: str
    draw: Callable[[], Figure]
    alt: str
    reading: str


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
