"""Strata: events of one side of the edit and one kind of cell, within which labels are compared.

The sides differ in batch or condition, and each may have its own donors or mix of cells: over all events together,
whatever tells the sides apart would count as telling donors apart.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from neuronedit.arrays import Int64s
from neuronedit.errors import DataError
from neuronedit.review.subject import POPULATION, TARGET, Population

SIDE: Final = "side of the edit"

MIN_EVENTS: Final = 50
"""Strata with fewer are left out: ten bins of some labels each would hold noise alone, which is taken off as chance."""

MIN_LABELLED: Final = 20
"""A label varies within a stratum where at least two of its values have as many events there."""


@dataclass(frozen=True)
class Strata:
    """The strata within which a column's labels vary.

    Attributes:
        column: The labels' column.
        known: The columns that are the same within a stratum; none where all events are one.
        rows: The numbers of each stratum's events; none where the labels are the same within every stratum.
        n_all: The number of strata of at least ``MIN_EVENTS`` events, with those where the labels do not vary.
    """

    column: str
    known: tuple[str, ...]
    rows: tuple[Int64s, ...]
    n_all: int

    @classmethod
    def of(cls, population: Population, column: str, given: str | None) -> Self:
        """Divide events by their side, where their populations are known, and by their kind.

        The target's events are one side; the source's, and those that the edit is to be applied to, are the other.

        Args:
            population: Has the columns of labels.
            column: The labels that are to vary within a stratum.
            given: The label that names kinds of cell; None: they are not known.

        Raises:
            DataError: There is no such column, or no stratum has ``MIN_EVENTS`` events.

        Example:
            >>> from neuronedit.review.subject import example_subject
            >>> pooled = example_subject().pooled
            >>> strata = Strata.of(pooled, "donor", "type")
            >>> strata.known, len(strata.rows), Strata.of(pooled, "condition", None).rows
            (('side of the edit', 'type'), 8, ())
        """
        labels, known = population.label(column).astype(str), []
        stratum = np.zeros(len(labels), dtype=np.int64)
        if POPULATION in population.labels:
            known.append(SIDE)
            stratum += population.label(POPULATION) == TARGET
        if given is not None:
            known.append(given)
            kinds, codes = np.unique(population.label(given).astype(str), return_inverse=True)
            stratum = np.unique(stratum * len(kinds) + codes, return_inverse=True)[1]
        counts = np.bincount(stratum)
        large = [np.flatnonzero(stratum == number) for number in np.flatnonzero(counts >= MIN_EVENTS)]
        if not large:
            raise DataError(
                f"{column}: the largest of {len(counts)} groups of one {' and '.join(known) or 'label'} has "
                f"{counts.max()} events; expected at least {MIN_EVENTS}. Draw more events, or name a coarser column."
            )
        varying = tuple(rows for rows in large if _varies(labels[rows]))
        return cls(column, tuple(known), varying, len(large))

    @property
    def within(self) -> str:
        """Say what is the same within a stratum; empty where nothing is.

        Example:
            >>> Strata("donor", (SIDE, "type"), (np.arange(9),), 3).within
            ', within one side of the edit and type (1 of 3 groups, in which donor varies)'
        """
        if not self.known:
            return ""
        told = f" ({len(self.rows)} of {self.n_all} groups, in which {self.column} varies)"
        return f", within one {' and '.join(self.known)}{told if len(self.rows) < self.n_all else ''}"

    @property
    def reason(self) -> str:
        """Say why nothing can be said where the labels are the same within every stratum.

        Example:
            >>> Strata("donor", (SIDE,), (), 3).reason
            'Cannot be said: donor is the same for all events of one side of the edit, so that it cannot be told apart
            from the batch.'
        """
        apart = f" and the {' and the '.join(self.known[1:])}" if len(self.known) > 1 else ""
        return (
            f"Cannot be said: {self.column} is the same for all events of one {' and '.join(self.known) or 'kind'}, so "
            f"that it cannot be told apart from the batch{apart}."
        )


def _varies(labels: np.ndarray) -> bool:
    return int((np.unique(labels, return_counts=True)[1] >= MIN_LABELLED).sum()) > 1
