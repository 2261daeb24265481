"""A note on how much of an edit may be another mix of cell types, and not their state.

It is no gate: on tasks with known truth it was red where the edit helped and quiet where it did not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from neuronedit.arrays import Texts
from neuronedit.edits.mix.composition import CLEAN, confounding, match
from neuronedit.errors import DataError
from neuronedit.model.edit_model import EditModel
from neuronedit.review.transfer.transfer import TRAINING_PAIR, Comparison

N_STARTS: Final = 3
"""Searches for kinds of cell, of whose shares the median is told where the first is of concern."""

MAX_EVENTS: Final = 2_000
"""Events drawn of source and of target, at most: a search goes over them some hundred times."""


@dataclass(frozen=True)
class MixNote:
    """How much of a difference between source and target is their mix of cell types.

    Attributes:
        share: Of the difference, 0 to 1; None where mix and state cannot be told apart.
        sentence: The share, or why there is none.
    """

    share: float | None
    sentence: str

    @property
    def of_concern(self) -> bool:
        """Whether a reviewer should read it before the edit is used."""
        return self.share is None or self.share > CLEAN


def note_mix(model: EditModel, comparisons: Sequence[Comparison], seed: int) -> MixNote:
    """Note the largest share of any training pair's difference that its mix of cell types makes.

    It is that of the markers, each counting for what the edit does to it.

    Args:
        model: The model.
        comparisons: Training pairs among them are looked at; without cell types, kinds are found in the events.
        seed: Starts the search for kinds of cell.

    Example:
        >>> from dataclasses import replace
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.transfer.transfer import example_comparison
        >>> pair = replace(example_comparison(), kind=TRAINING_PAIR)
        >>> round(note_mix(example_model(), [pair], seed=0).share, 1)
        0.0
    """
    if model.facts.get("match_composition"):
        return MixNote(0.0, "The edits were fitted with source and target in the same mix of cell types.")
    pairs = {each.name: _drawn(each, seed) for each in comparisons if each.kind == TRAINING_PAIR}
    if not pairs:
        return MixNote(None, "No training pair was reviewed.")
    shares = {}
    for name, pair in pairs.items():
        try:
            shares[name] = _composition_share(model, pair, seed, _labels(pair))
        except DataError as error:
            return MixNote(None, f"{name}: what is mix and what is state cannot be told apart. {error}")
    name = max(shares, key=lambda pair: shares[pair])
    told = f"The mix of cell types makes {shares[name]:.0%} of the difference {name}, the most of all."
    if _labels(pairs[name]):
        return MixNote(shares[name], told + _beside_labels(model, pairs[name], seed))
    found = " Kinds were found in the events: a column of cell types (labels.cell_type) makes sure."
    return MixNote(shares[name], told + (found if shares[name] > CLEAN else ""))


def _drawn(pair: Comparison, seed: int) -> Comparison:
    """Draw at most ``MAX_EVENTS`` of a training pair's source and target, with their cell types."""
    generator = np.random.default_rng(seed)
    rows, of_target = (
        np.sort(generator.permutation(len(population))[:MAX_EVENTS]) for population in (pair.source, pair.target)
    )
    return replace(
        pair,
        source=pair.source[rows],
        target=pair.target[of_target],
        event_types=None if pair.event_types is None else pair.event_types[rows],
        truth_types=None if pair.truth_types is None else pair.truth_types[of_target],
    )


def _labels(pair: Comparison) -> tuple[Texts, Texts] | None:
    if pair.event_types is None or pair.truth_types is None:
        return None
    return pair.event_types, pair.truth_types


def _composition_share(
    model: EditModel, pair: Comparison, seed: int, labels: tuple[Texts, Texts] | None = None
) -> float:
    source, target = model.standardised(pair.source), model.standardised(pair.target)
    change = model.standardised(model.apply(pair.source, pair.edit)) - source
    weights = np.abs(change).mean(axis=0, dtype=np.float64)
    first, *others = range(seed, seed + N_STARTS)

    def share(start: int) -> float:
        return confounding(source, target, match(source, target, start, labels)).weighted_share(weights)

    found = share(first)
    # Kinds that are searched for depend on where the search starts, one time in ten by much; labels do not.
    return found if labels or found <= CLEAN else float(np.median([found, *map(share, others)]))


def _beside_labels(model: EditModel, pair: Comparison, seed: int) -> str:
    """Say how the verdict rests on labels, and add the share by kinds found in the events where that is worse."""
    try:
        share = _composition_share(model, pair, seed)
    except DataError:
        return " Cell types are those of the labels; kinds found in the events could not be compared."
    told = f" Cell types are those of the labels; by kinds found in the events it would be {share:.0%}."
    return told if share > CLEAN else ""
