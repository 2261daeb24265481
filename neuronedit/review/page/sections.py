"""One comparison's part of the page: its verdict, its rows of the review's tables, its figures."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd

from neuronedit.measures.distances import DECISIVE, FLOOR
from neuronedit.measures.halves import SURE
from neuronedit.review.page.report import Review
from neuronedit.review.part import Drawing
from neuronedit.review.transfer import figures as figures
from neuronedit.review.transfer import readings as reading
from neuronedit.review.transfer.transfer import NEURONEDIT, TRAINING_PAIR
from neuronedit.review.transfer.verdict import Verdict, behind


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

    @property
    def rank(self) -> tuple[bool, float]:
        """Held-out comparisons come before training pairs, and among either the one with the largest error left."""
        left = behind(self.methods.set_index("method"), FLOOR)
        return self.verdict.kind == TRAINING_PAIR, -float(np.nanmean(list(left.values())))

    @property
    def markers_worse(self) -> int:
        """How many markers the edit leads away from the truth."""
        return int(self._of(NEURONEDIT, "markers_worse"))

    def score(self, method: str, metric: str) -> float:
        """A method's distance to the truth."""
        return self._of(method, metric)

    def interval(self, metric: str) -> float:
        """Half the interval of the edit's distance: ``SURE`` standard errors."""
        return SURE * self._of(NEURONEDIT, f"{metric}_error")

    def _of(self, method: str, column: str) -> float:
        return float(self.methods.set_index("method")[column].astype(float)[method])

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
            points=True,
        )

    def drawings(self) -> list[Drawing]:
        """The page's figures, in its order."""
        return [self.method_drawing, self.marker_drawing, self.density_drawing]


@lru_cache(maxsize=2)
def sections(review: Review) -> tuple[Section, ...]:
    """A section for each comparison, in the order in which they are to be looked at; made once for a review.

    Example:
        >>> from neuronedit.review.page.review_model import example_review
        >>> [section.title for section in sections(example_review())]
        ['other cells (held out)']
    """
    found = [
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
    return tuple(sorted(found, key=lambda section: section.rank))
