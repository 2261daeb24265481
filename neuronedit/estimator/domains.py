"""Domains of rows: what each row of an array belongs to, and which rows are the populations of a design."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils.validation import check_consistent_length, column_or_1d

from neuronedit.arrays import Float32s, Floats, Int64s, Masks, Texts
from neuronedit.cells.design import INVERSE, MIN_POPULATION_EVENTS, PAIR_EDIT, POOLED
from neuronedit.errors import NeuroneditError, listing, nearest_name
from neuronedit.model.edit_model import EditModel
from neuronedit.model.route import Route, Transformed, UnknownBatch

Kind = Literal["pair", "controls"]


@contextmanager
def as_value_errors() -> Iterator[None]:
    """Raise what neuronedit tells its user as a ``ValueError``, as scikit-learn's users expect.

    Example:
        >>> from neuronedit.errors import DataError
        >>> with as_value_errors():
        ...     raise DataError("no events")
        Traceback (most recent call last):
        ValueError: no events
    """
    try:
        yield
    except NeuroneditError as error:
        raise ValueError(str(error)) from error


def as_texts(values: npt.ArrayLike, name: str, n_rows: int) -> Texts:
    """Give domains or samples as texts, (n_rows,).

    Args:
        values: (n_rows,) one value for each row, of whatever type.
        name: What they are called, for the message.
        n_rows: Number of rows.

    Raises:
        ValueError: A value is missing, or there is not one for each row.

    Example:
        >>> as_texts([1, 2], "y", 2).tolist()
        ['1', '2']
    """
    found = column_or_1d(np.asarray(values, dtype=object))
    check_consistent_length(found, np.empty(n_rows))
    if n_missing := int(pd.isna(found).sum()):
        raise ValueError(f"{name} has {n_missing} missing values; expected one for each row. Fill them.")
    return np.array([str(value) for value in found.tolist()], dtype=object)


def name_of(values: npt.ArrayLike, default: str) -> str:
    """Give the name of a series, of pandas or polars; of what has none, the default.

    Example:
        >>> name_of(pd.Series(["day1"], name="batch"), "domain"), name_of(["day1"], "domain")
        ('batch', 'domain')
    """
    name = getattr(values, "name", None)
    return name if isinstance(name, str) and name else default


def target_of(domains: Texts, target: Any) -> str:
    """Name the domain that is led to: the one asked for, by default the last in order.

    Example:
        >>> target_of(np.array(["a", "b"], dtype=object), None)
        'b'
    """
    return str(np.unique(domains)[-1]) if target is None else str(target)


def population_rows(domains: Texts, kind: Kind, source: Any, target: Any, min_events: int) -> dict[str, Int64s]:
    """Find the rows of each population, by the name that a design of arrays has for it.

    Args:
        domains: (n_rows,) the domain of each row.
        kind: ``pair`` or ``controls``.
        source: A pair's domain to lead from; None for all but the target. Rows of no side are trained on.
        target: The domain to lead to; None for the last in order.
        min_events: The fewest rows of a domain to learn from.

    Raises:
        ValueError: There is one domain alone, source or target is none of them, or a domain has too few rows.

    Example:
        >>> domains = np.repeat(np.array(["a", "b", "c"], dtype=object), 60)
        >>> {name: len(rows) for name, rows in population_rows(domains, "pair", "a", "b", 50).items()}
        {'source': 60, 'target': 60, 'extrapolation': 60}
        >>> list(population_rows(domains, "controls", None, "a", 50))
        ['control a', 'control b', 'control c']
    """
    if kind not in ("pair", "controls"):
        raise ValueError(f"kind is {kind!r}; expected 'pair' or 'controls'.")
    found, goal = list(map(str, np.unique(domains))), target_of(domains, target)
    if len(found) < 2:
        raise ValueError(
            f"y has 1 class, {listing(found)}; expected at least 2 domains, to lead from and to. "
            "Give each row's domain."
        )
    for role, name in {"target": goal, **({} if source is None else {"source": str(source)})}.items():
        if name not in found and not (kind == "controls" and name == POOLED):
            raise ValueError(
                f"{role} is {name!r}; expected a domain of y, found {listing(found)}{nearest_name(name, found)}. "
                f"Correct {role}, or y."
            )
    if kind == "controls":
        return {f"control {name}": _enough(domains == name, name, min_events) for name in found}
    if source is not None and str(source) == goal:
        raise ValueError(f"source and target are both {goal!r}; expected two domains. Correct one of them.")
    led = domains != goal if source is None else domains == str(source)
    others = ~led & (domains != goal)
    named = "source" if source is None else str(source)
    rows = {"source": _enough(led, named, min_events), "target": _enough(domains == goal, goal, min_events)}
    return rows | ({"extrapolation": np.flatnonzero(others)} if others.any() else {})


def _enough(chosen: Masks, name: str, min_events: int) -> Int64s:
    """The chosen rows: where fewer are allowed than the edits take, all of them again and again."""
    rows = np.flatnonzero(chosen)
    if len(rows) < min_events:
        raise ValueError(
            f"The domain {name!r} has {len(rows)} rows; expected at least {min_events} to estimate percentiles. "
            "Add rows, or lower min_events."
        )
    return np.resize(rows, max(len(rows), MIN_POPULATION_EVENTS))


@dataclass(frozen=True)
class DomainEdits:
    """A model's edits, chosen by the domain of each row.

    Attributes:
        model: The model.
        target: A pair's domain that is led to, whose rows stay.
        unknown_domain: ``error``, or ``pass`` to leave rows of domains without an edit as they are.

    Example:
        >>> from neuronedit.model.example import example_batches, example_cells
        >>> edits, days = DomainEdits(example_batches(), "day2"), np.repeat(["day1", "day2"], 200).astype(object)
        >>> moved = (edits.edited(example_cells(), days, strength=1.0) != example_cells()).any(axis=1)
        >>> moved[:200].mean(), moved[200:].any()
        (np.float64(1.0), np.False_)
    """

    model: EditModel
    target: str
    unknown_domain: UnknownBatch = "error"

    def edited(self, events: Floats, domains: Texts | None, strength: float, inverse: str = "") -> Floats:
        """Edit rows, (n_events, n_markers), each by its domain's edit, or by its inverse.

        Args:
            events: (n_events, n_markers) raw intensities.
            domains: (n_events,); None where a pair's edit is for all.
            strength: The share of the change that is made.
            inverse: ``INVERSE`` to lead back.

        Raises:
            ValueError: A domain has no edit, or a value is not finite.
        """
        edited = events.copy()
        for name, chosen in self._rows(domains).items():
            edited[chosen] = self._transformed(events[chosen], Route((name + inverse,), strength=strength)).intensities
        return edited

    def support(self, events: Floats, domains: Texts | None) -> Float32s:
        """Score each row's support, (n_events,) float32, NaN without an edit; see ``edited`` for the arguments.

        Raises:
            ValueError: A domain has no edit, or a value is not finite.
        """
        scores = np.full(len(events), np.nan, np.float32)
        for name, chosen in self._rows(domains).items():
            scores[chosen] = self._transformed(events[chosen], Route((name,), support=True)).support
        return scores

    def _rows(self, domains: Texts | None) -> dict[str, Masks | slice]:
        """Some rows, or all, that each edit is for, by its name."""
        if self.model.batch_column is None:
            return {PAIR_EDIT: slice(None) if domains is None else domains != self.target}
        edits, reference = [name for name in self.model.edits if not name.endswith(INVERSE)], self.model.reference
        if domains is None:
            raise ValueError(
                "domain is missing; expected the domain of each row, by which it is edited, as the model is of "
                f"controls ({listing(edits)}). Call transform(X, domain=...), in a Pipeline with "
                "set_transform_request(domain=True)."
            )
        found = list(map(str, np.unique(domains)))
        unknown = [name for name in found if name not in edits and name != reference]
        if unknown and self.unknown_domain == "error":
            raise ValueError(
                f"domain has {listing(unknown)}; expected domains with an edit, {listing(edits)}"
                f"{f', or {reference!r}' if reference else ''}{nearest_name(unknown[0], edits)}. Correct domain, fit "
                "with rows of it, or leave such rows as they are with unknown_domain='pass'."
            )
        return {name: domains == name for name in found if name in edits}

    def _transformed(self, events: Floats, route: Route) -> Transformed:
        with as_value_errors():
            return self.model.transform(events, None, route)
