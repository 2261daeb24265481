"""Events chosen by column values: one population, or one for each value of a column."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuronedit.arrays import Masks, Texts
from neuronedit.errors import DataError, listing, nearest_name

Scalar = str | int | float | bool
Where = dict[str, Scalar | list[Scalar]]
"""A choice of events by column values: ``{role = "control", donor = ["P1", "P2"]}`` chooses events whose role is
``control`` and whose donor is one of the two."""

ALL_EVENTS = "all events"
"""The name of the only population of a choice that no column splits."""


@dataclass(frozen=True)
class EventChoice:
    """Events chosen by column values: one population or, with a column, one for each of its values.

    Attributes:
        where: The column values asked for; empty chooses every event.
        by: The column whose values name the populations; events without a value are in none.
        sample_column: The column that names an event's sample, if another than usual does.
    """

    where: Where
    by: str | None = None
    sample_column: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the choice reads."""
        return tuple(dict.fromkeys([*self.where, *([self.by] if self.by else [])]))

    def assign(self, events: pd.DataFrame, where: str) -> Texts:
        """Name each event's population, (n_events,) texts; "" for events that no population takes.

        Args:
            events: The choice's columns, (n_events,) each.
            where: The file that the events are from; not used, every event is accepted.
        """
        chosen = select(events, self.where)
        if self.by:
            chosen &= events[self.by].notna().to_numpy(dtype=bool)
        population = np.full(len(events), "", dtype=object)
        population[chosen] = events[self.by][chosen].astype(str).to_numpy() if self.by else ALL_EVENTS
        return population


def select(events: pd.DataFrame, where: Mapping[str, object]) -> Masks:
    """Find the events that have all the column values asked for: (n_events,) bool.

    Example:
        >>> select(pd.DataFrame({"donor": ["P1", "P2", "P3"]}), {"donor": ["P1", "P3"]}).tolist()
        [True, False, True]
    """
    chosen = np.ones(len(events), dtype=bool)
    for column, wanted in where.items():
        one_of = np.zeros(len(events), dtype=bool)
        for value in wanted if isinstance(wanted, list) else [wanted]:
            # A value given as text matches a number column's text, so that batch_id = "3" finds 3.
            values = events[column].astype(str) if isinstance(value, str) else events[column]
            one_of |= (values == value).to_numpy(dtype=bool, na_value=False)
        chosen &= one_of
    return chosen


def describe(where: Where) -> str:
    """Put a choice of events in words.

    Example:
        >>> describe({"role": "control", "donor": ["P1", "P2"]})
        'role = control and donor = P1 or P2'
    """
    if not where:
        return ALL_EVENTS
    return " and ".join(
        f"{column} = {' or '.join(map(str, value)) if isinstance(value, list) else value}"
        for column, value in where.items()
    )


def check_design_columns(columns: Collection[str], needed: Collection[str], where: str) -> None:
    """Check that the columns that choose events exist.

    Raises:
        DataError: A column is missing.

    Example:
        >>> check_design_columns(["batch_id", "CD3"], needed=["batch_id"], where="cells.parquet")
    """
    missing = [name for name in needed if name not in columns]
    if missing:
        raise DataError(
            f"{where}: the column {missing[0]!r} is missing; it chooses the events of a population "
            f"(columns found: {listing(columns)}{nearest_name(missing[0], columns)}). "
            "Correct the name, or add the column."
        )
