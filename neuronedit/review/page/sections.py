"""One comparison's part of the page: its verdict, its rows of the review's tables, its figures."""

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from neuronedit.measures.distances import DECISIVE
from neuronedit.review.page.report import Review
from neuronedit.review.part import Drawing
from neuronedit.review.transfer import figures as figures
from neuronedit.review.transfer import readings as reading
from neuronedit.review.transfer.verdict import Verdict


@dataclass(frozen=True)
class Section:
    """One comparison: its verdict, and its rows of the review's tables.

    Attributes:
        verdict: The comparison's verdict.
        unit: Of the markers.
        methods: Its rows of ``method_table``.
        markers: Its rows of ``marker_table``.
        densities: Its rows of ``density_table``.
    """

    verdict: Verdict
    unit: str
    methods: pd.DataFrame
    markers: pd.DataFrame
    densities: pd.DataFrame

    @property
    def title(self) -> str:
        """The comparison's name and kind."""
        return f"{self.verdict.comparison} ({self.verdict.kind})"

    @cached_property
    def overview_drawing(self) -> Drawing:
        """The markers that the edit changes most, and every method's distances: for the first screen, and a README."""
        return Drawing(
            "overview",
            lambda: figures.overview_figure(self.title, self.methods, self.markers, self.densities, self.unit),
            f"Histograms of the markers that change most, and every method's distance to the truth, {self.title}",
            reading.read_markers(self.markers),
        )

    @cached_property
    def method_drawing(self) -> Drawing:
        """Every method's distances."""
        return Drawing(
            "methods",
            lambda: figures.method_figure(self.methods),
            f"Bars: {' and '.join(metric.title for metric in DECISIVE)} to the truth by method, {self.title}",
            reading.read_methods(self.methods),
        )

    @cached_property
    def marker_drawing(self) -> Drawing:
        """Every marker's distance before and after."""
        return Drawing(
            "markers",
            lambda: figures.transfer_figure(self.markers, self.unit),
            f"EMD to the truth before and after the edit, by marker, {self.title}",
            reading.read_markers(self.markers),
        )

    @cached_property
    def density_drawing(self) -> Drawing:
        """Every marker's distribution."""
        return Drawing(
            "densities",
            lambda: figures.density_figure(self.densities, list(self.markers["marker"]), self.unit),
            f"Histograms of every marker before and after the edit, with the truth, {self.title}",
            reading.read_densities(self.densities, self.markers),
        )

    def drawings(self) -> list[Drawing]:
        """The page's figures, in its order."""
        return [self.method_drawing, self.marker_drawing, self.density_drawing]


def sections(review: Review) -> list[Section]:
    """A section for each comparison, in the review's order.

    Example:
        >>> from neuronedit.review.page.report import example_review
        >>> [section.title for section in sections(example_review())]
        ['other cells (held out)']
    """
    return [
        Section(
            verdict,
            review.unit,
            *(
                table[table["comparison"] == verdict.comparison]
                for table in (review.methods, review.markers, review.densities)
            ),
        )
        for verdict in review.verdicts
    ]
