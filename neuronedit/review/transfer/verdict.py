"""The verdict on an edit: whether it beats doing nothing and the quantile map, as a computed sentence."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from neuronedit.edits.baselines import NO_EDIT, QUANTILE_MAP
from neuronedit.measures.distances import DECISIVE, DECISIVE_NAMES, FLOOR
from neuronedit.measures.halves import MARGIN, SURE
from neuronedit.review.transfer.transfer import HELD_OUT, NEURONEDIT, TRAINING_PAIR

Tone = Literal["better", "mixed", "worse"]
Relation = Literal["better than", "no different from", "worse than", "mixed against"]

_LABELS: dict[Relation, str] = {
    "better than": "beats the quantile map",
    "no different from": "matches the quantile map",
    "worse than": "loses to the quantile map",
    "mixed against": "undecided against the quantile map",
}


@dataclass(frozen=True)
class Verdict:
    """The verdict on the edit in one comparison.

    Attributes:
        comparison: The comparison's name.
        kind: ``training pair`` or ``held out``.
        against_nothing: The edit beside doing nothing.
        against_map: The edit beside the per-marker quantile map.
        sentence: Both, with the numbers.
    """

    comparison: str
    kind: str
    against_nothing: Relation
    against_map: Relation
    sentence: str

    @property
    def tone(self) -> Tone:
        """``better``: beats doing nothing and the quantile map; ``worse``: worse than doing nothing."""
        if self.against_nothing == "worse than":
            return "worse"
        return "better" if self.against_nothing == self.against_map == "better than" else "mixed"

    @property
    def label(self) -> str:
        """The verdict in a few words."""
        if self.against_nothing == "worse than":
            return "worse than doing nothing"
        if self.against_nothing != "better than":
            return "no clear gain"
        return _LABELS[self.against_map]


def judge_comparisons(methods: pd.DataFrame) -> list[Verdict]:
    """A verdict for each comparison of a method table, in its order.

    Example:
        >>> from neuronedit.review.page.review_model import example_review
        >>> judge_comparisons(example_review().methods)[0].label
        'matches the quantile map'
    """
    return [_judge_one(str(name), rows.set_index("method")) for name, rows in methods.groupby("comparison", sort=False)]


def decisive_kind(methods: pd.DataFrame) -> str:
    """The kind that the overall verdict rests on: held-out comparisons where there are any, else training pairs.

    Example:
        >>> decisive_kind(pd.DataFrame({"kind": [TRAINING_PAIR, HELD_OUT]}))
        'held out'
    """
    return HELD_OUT if (methods["kind"] == HELD_OUT).any() else TRAINING_PAIR


def held_out_rows(methods: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Each held-out comparison's name and rows of a method table, by method.

    Example:
        >>> from neuronedit.review.page.review_model import example_review
        >>> [name for name, _ in held_out_rows(example_review().methods)]
        ['other cells']
    """
    chosen = methods[methods["kind"] == HELD_OUT]
    return [(str(name), rows.set_index("method")) for name, rows in chosen.groupby("comparison", sort=False)]


def behind(rows: pd.DataFrame, other: str) -> dict[str, float]:
    """How much further from the truth the edit is than another method, in parts of what there is to correct.

    Args:
        rows: One comparison's: a row for each method, a column for each distance.
        other: The other method; beside the noise floor, it is the error that the edit leaves.

    Returns:
        A number for each decisive distance.

    Example:
        >>> scores = {"emd": [1.1, 0.3, 0.1], "energy": [1.1, 0.6, 0.1]}
        >>> found = behind(pd.DataFrame(scores, index=[NO_EDIT, NEURONEDIT, FLOOR]), FLOOR)
        >>> {name: round(part, 2) for name, part in found.items()}
        {'emd': 0.2, 'energy': 0.5}
    """
    parts = {}
    for score in DECISIVE_NAMES:
        scores = rows[score].astype(float)
        # At least the noise floor: a tiny gap must not make noise look like an error. Events all alike have none.
        to_correct = max(float(scores[NO_EDIT] - scores[FLOOR]), float(scores[FLOOR])) or 1.0
        parts[score] = float(scores[NEURONEDIT] - scores[other]) / to_correct
    return parts


def _judge_one(name: str, rows: pd.DataFrame) -> Verdict:
    nothing, simple = (relate(rows, NEURONEDIT, other) for other in (NO_EDIT, QUANTILE_MAP))
    quantile = rows.loc[QUANTILE_MAP]
    sentence = (
        f"neuronedit is {_words(rows, NO_EDIT, 'doing nothing')} ({changes(rows, NO_EDIT, NEURONEDIT)}) and "
        f"{_words(rows, QUANTILE_MAP, 'the quantile map')} "
        f"({', '.join(f'{quantile[name]:.3f}' for name in DECISIVE_NAMES)})."
    )
    return Verdict(name, str(rows.at[NEURONEDIT, "kind"]), nothing, simple, sentence)


def changes(rows: pd.DataFrame, before: str, after: str) -> str:
    """Each decisive distance by two methods, e.g. ``EMD 0.500 → 0.100, energy distance 1.200 → 0.300``.

    Args:
        rows: One comparison's: a row for each method, a column for each distance.
        before: The first method.
        after: The second.

    Example:
        >>> scores = pd.DataFrame({"emd": [0.5, 0.1], "energy": [1.2, 0.3]}, index=[NO_EDIT, NEURONEDIT])
        >>> changes(scores, NO_EDIT, NEURONEDIT)
        'EMD 0.500 → 0.100, energy distance 1.200 → 0.300'
    """
    scores = {metric.title: rows[metric.name].astype(float) for metric in DECISIVE}
    return ", ".join(f"{title} {values[before]:.3f} → {values[after]:.3f}" for title, values in scores.items())


def relate(rows: pd.DataFrame, method: str, other: str) -> Relation:
    """How a method does beside another: better needs every decisive distance, worse needs one and none better.

    Args:
        rows: One comparison's: a row for each method; columns of each distance and of ``emd_less_error``, ….
        method: Is judged; the errors are of its distances less the others'.
        other: Is beside it.

    Example:
        >>> distances, errors = [1.0, 0.3, 0.1], {"emd_less_error": 0.1, "energy_less_error": 0.1}
        >>> rows = pd.DataFrame({"emd": distances, "energy": distances, **errors}, index=[NO_EDIT, NEURONEDIT, FLOOR])
        >>> relate(rows, NEURONEDIT, NO_EDIT)
        'better than'
    """
    signs = set(_signs(rows, method, other).values())
    if signs == {0}:
        return "no different from"
    if signs == {-1}:
        return "better than"
    return "worse than" if signs <= {0, 1} else "mixed against"


def distance_words(rows: pd.DataFrame, method: str, other: str) -> dict[str, str]:
    """Say by each decisive distance's title whether a method is better, no different or worse than another.

    Args:
        rows: See ``relate``.
        method: Is judged.
        other: Is beside it.

    Example:
        >>> rows = pd.DataFrame({"emd": [1.0, 0.3, 0.1], "energy": [1.0, 1.0, 0.1]}, index=[NO_EDIT, NEURONEDIT, FLOOR])
        >>> rows[["emd_less_error", "energy_less_error"]] = 0.1
        >>> distance_words(rows, NEURONEDIT, NO_EDIT)
        {'EMD': 'better', 'energy distance': 'no different'}
    """
    return {title: _BY_SIGN[sign] for title, sign in _signs(rows, method, other).items()}


def _signs(rows: pd.DataFrame, method: str, other: str) -> dict[str, int]:
    """-1 where the method is nearer to the truth, 0 within margin or interval, 1 where further: by distance."""
    signs = {}
    for metric in DECISIVE:
        scores, errors = rows[metric.name].astype(float), rows[f"{metric.name}_less_error"].astype(float)
        # Where there is next to nothing to correct, differences below the noise itself mean nothing either.
        margin = max(MARGIN * max(scores[NO_EDIT] - scores[FLOOR], scores[FLOOR]), SURE * errors[other])
        difference = scores[method] - scores[other]
        signs[metric.title] = 0 if abs(difference) <= margin else (1 if difference > 0 else -1)
    return signs


_BY_SIGN = {-1: "better", 0: "no different", 1: "worse"}


def _words(rows: pd.DataFrame, other: str, named: str) -> str:
    relation = relate(rows, NEURONEDIT, other)
    if relation != "mixed against":
        return f"{relation} {named}"
    told = ", ".join(f"{word} by {title}" for title, word in distance_words(rows, NEURONEDIT, other).items())
    worse = f", {int(rows['markers_worse'][NEURONEDIT])} markers made worse" if other == NO_EDIT else ""
    return f"mixed against {named} ({told}{worse})"
