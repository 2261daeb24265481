"""One feature of the review, ready for the page: its tables, its figures, what they say, its numbers."""

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
    """A figure that can be drawn, with what a reader should see in it.

    Attributes:
        name: Of its file.
        draw: Draws it.
        alt: What it is, for readers who do not see it.
        reading: What it shows, in one sentence.
    """

    name: str
    draw: Callable[[], Figure]
    alt: str
    reading: str


@dataclass(frozen=True)
class Part:
    """One feature of the review.

    Attributes:
        name: Of its files and metrics, e.g. ``conductance``.
        title: For people, e.g. ``Edit conductance``.
        family: Which part of the page it stands in.
        reading: What was found, in one sentence with its numbers.
        tables: By the name of their file; each can be downloaded.
        drawings: In the page's order.
        scalars: For MLflow's compare view; finite numbers only.
        warning: What must be said beside it, e.g. that names are not to be trusted; empty where nothing must.
    """

    name: str
    title: str
    family: Family
    reading: str
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    drawings: tuple[Drawing, ...] = ()
    scalars: Mapping[str, float] = field(default_factory=dict)
    warning: str = ""
