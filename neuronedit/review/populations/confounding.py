"""The confounding verdict: how much of an edit is a change of state, and how much a differing mix of cells."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuronedit.arrays import Floats, Texts
from neuronedit.edits.mix.composition import (
    CLEAN,
    CONFOUNDED,
    Composition,
    Confounding,
    confounding,
    judge_share,
    match,
)
from neuronedit.errors import DataError
from neuronedit.review.charts import bar_figure
from neuronedit.review.part import Drawing, Part
from neuronedit.review.subject import EditSubject
from neuronedit.review.wording import settled

NOT_IDENTIFIABLE = "not identifiable"

LIGHTS = {"clean": "green", "doubtful": "amber", "confounded": "red", NOT_IDENTIFIABLE: "red"}

FOUND = (
    " Kinds of cell were found in the events, not named by labels: where the change moves the very markers that tell "
    "kinds apart, it is taken for mix. Name a column of cell types to be sure."
)

SEEN = 0.01
"""The least share of the mix that a figure shows."""

N_SHOWN = 16
"""Neurons of the largest weights that are drawn."""


@dataclass(frozen=True)
class Judged:
    """The shares of state and mix in an edit, and the verdict.

    Attributes:
        composition: The strata of source and target; None where state and mix cannot be told apart.
        found: State and mix by neuron; None where they cannot be told apart.
        weights: (n_neurons,) each neuron's weight in the edit; their sum is 1.
        reason: Says why they cannot be told apart; else empty.
    """

    composition: Composition | None
    found: Confounding | None
    weights: Floats
    reason: str = ""

    @property
    def share(self) -> float:
        """The mix's part of the difference between source and target, by the neurons' weights; NaN if unknown."""
        return self.found.weighted_share(self.weights) if self.found else float("nan")

    @property
    def verdict(self) -> str:
        """``clean``, ``doubtful``, ``confounded`` or ``not identifiable``."""
        return judge_share(self.share) if self.found else NOT_IDENTIFIABLE


def judge_confounding(subject: EditSubject, weights: Floats, column: str | None, seed: int) -> Judged:
    """Split each neuron's difference between source and target into state and mix.

    Args:
        subject: Gives source and target.
        weights: (n_neurons,) each neuron's weight in the edit, not negative: its share of the conductance.
        column: The label that names kinds of cell; None: kinds are found in the events.
        seed: Starts the search for kinds.

    Raises:
        DataError: Source or target lacks the column.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> judged = judge_confounding(example_subject(), np.array([0.0, 0.0, 1.0]), "type", seed=0)
        >>> judged.verdict, round(judged.share, 2)
        ('clean', 0.0)
    """
    labels = None if column is None else (subject.source.label(column), subject.target.label(column))
    shares = weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1 / len(weights))
    try:
        composition = compose(subject, labels, seed)
    except DataError as error:  # no overlap
        return Judged(None, None, shares, str(error))
    return Judged(composition, confounding(subject.source.activations, subject.target.activations, composition), shares)


def compose(subject: EditSubject, labels: tuple[Texts, Texts] | None, seed: int) -> Composition:
    """Divide source and target into strata of like cells, see ``match``.

    Raises:
        DataError: They share no stratum, or one with a substantial share of the source has no counterparts.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> subject = example_subject()
        >>> labels = subject.source.label("type"), subject.target.label("type")
        >>> composition = compose(subject, labels, seed=0)
        >>> dict(zip(composition.strata, composition.source_shares.tolist(), strict=True))
        {'B': 0.25, 'CD4 T': 0.25, 'CD8 T': 0.25, 'monocyte': 0.25}
    """
    return match(subject.source.markers, subject.target.markers, seed, labels)


def confounding_part(subject: EditSubject, weights: Floats, column: str | None = None, seed: int = 0) -> Part:
    """Row 10: is the edit a change of state, or a differing mix of cells? Takes the arguments of ``judge_confounding``.

    Raises:
        DataError: Source or target lacks the column.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> confounding_part(example_subject(), np.array([0.0, 0.0, 1.0]), "type").reading
        'Green, clean: 0% of the difference between source and target, in the neurons that carry the edit, is a
        differing mix of cells (clean up to 10%, confounded from 30%).'
    """
    judged = judge_confounding(subject, weights, column, seed)
    name, title = "confounding", "Confounding verdict"
    if judged.found is None or judged.composition is None:
        return Part(
            name,
            title,
            "composition",
            f"{LIGHTS[NOT_IDENTIFIABLE].capitalize()}: {NOT_IDENTIFIABLE}.",
            warning=judged.reason + (FOUND if column is None else ""),
        )
    table, strata = _neuron_table(subject, judged, judged.found), _strata_table(judged.composition)
    heaviest = table.nlargest(N_SHOWN, "weight")
    shown = heaviest.set_index("neuron " + heaviest["neuron"].astype(str))[["by_state", "by_mix"]]
    shown.columns = pd.Index(["change of state", "differing mix"])
    return Part(
        name,
        title,
        "composition",
        _read(judged),
        {"confounding": table, "strata": strata},
        (
            Drawing(
                "confounding",
                lambda: bar_figure(shown, "Wasserstein-1 distance between source and target (activation)"),
                "Stacked bars: what state and what mix make of each heavy neuron's difference",
                _read_neurons(table),
            ),
        )
        if judged.share >= SEEN
        else (),
        {"composition_share": judged.share},
        _warn(judged, strata, found=column is None),
    )


def _neuron_table(subject: EditSubject, judged: Judged, found: Confounding) -> pd.DataFrame:
    total = found.by_mix + found.by_state
    share = np.divide(found.by_mix, total, out=np.zeros_like(total), where=total > 0)
    columns = {
        "neuron": np.arange(subject.n_neurons),
        "weight": judged.weights,
        "by_state": settled(found.by_state),
        "by_mix": settled(found.by_mix),
    }
    return subject.called(pd.DataFrame({**columns, "composition_share": share}))


def _strata_table(composition: Composition) -> pd.DataFrame:
    columns = {"source_share": composition.source_shares, "target_share": composition.target_shares}
    return pd.DataFrame({"stratum": composition.strata, **columns})


def _read(judged: Judged) -> str:
    bounds = f"clean up to {CLEAN:.0%}, confounded from {CONFOUNDED:.0%}"
    return (
        f"{LIGHTS[judged.verdict].capitalize()}, {judged.verdict}: {judged.share:.0%} of the difference between source "
        f"and target, in the neurons that carry the edit, is a differing mix of cells ({bounds})."
    )


def _read_neurons(table: pd.DataFrame) -> str:
    heaviest = table.nlargest(N_SHOWN, "weight")
    worst = heaviest.astype({"neuron": object}).iloc[int((heaviest["by_mix"] * heaviest["weight"]).argmax())]
    return (
        f"Of the {len(heaviest)} heaviest neurons, the mix weighs most in neuron {worst['neuron']}: "
        f"{worst['composition_share']:.0%} of its difference (weight {worst['weight']:.2f})."
    )


def _warn(judged: Judged, strata: pd.DataFrame, *, found: bool) -> str:
    if judged.verdict == "clean":
        return ""
    moved = strata.iloc[int((strata["target_share"] - strata["source_share"]).abs().argmax())]
    return (
        f"The mix differs: {moved['stratum']} is {moved['source_share']:.0%} of the source and "
        f"{moved['target_share']:.0%} of the target. Fit with edit.match_composition, or take shifts of markers "
        f"that tell these cells apart for mix, not for biology.{FOUND if found else ''}"
    )
