"""Logical explanations: the formula of marker gates that best tells which events activate a neuron."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Float64s, Floats, Masks, UInt64s
from neuronedit.review.charts import bar_figure
from neuronedit.review.labels.positivity import Positivity
from neuronedit.review.part import Drawing, Part
from neuronedit.review.subject import EditSubject

ACTIVE_PERCENT = 10
"""The events of the highest activations, and those of the lowest, are what is explained."""

EXTREME_PERCENT = 10
"""Events of so many highest or lowest values of a marker count as ``high`` or ``low``."""

MAX_LENGTH, BEAM = 4, 5
"""Gates of a formula, and formulas that are extended."""

MIN_GAIN = 0.02
"""The least that each further gate must add to the IoU: less is chance."""

MAX_FORMULA_EVENTS = 3_000
"""Events of the source that are looked at; more would only cost time."""

N_PERMUTED = 20
"""Random sets of as many events, of which the best explained says what chance can do."""

Formula = tuple[UInt64s, tuple[str, ...], tuple[str, ...], float]
"""A formula: the events that it holds for, its words, the markers that they name, and its IoU."""


@dataclass(frozen=True)
class Atoms:
    """Statements about one marker each, of which formulas are made.

    Attributes:
        names: (n_atoms,) such as ``CD3+``, ``CD3−``, ``CD3 high``, ``CD3 low``.
        markers: (n_atoms,) the marker's name.
        bits: (n_atoms, n_words) uint64, one bit for each event: whether the statement holds.
    """

    names: tuple[str, ...]
    markers: tuple[str, ...]
    bits: UInt64s

    @classmethod
    def from_markers(cls, markers: Float32s, names: Sequence[str], gates: Positivity) -> "Atoms":
        """Make all statements about events: (n_events, n_markers) float32, standardised."""
        low, high = np.percentile(markers, [EXTREME_PERCENT, 100 - EXTREME_PERCENT], axis=0)
        positive = gates.positive(markers)
        said: list[tuple[str, str, Masks]] = []
        for number, name in enumerate(names):
            if gates.two_sided[number]:
                said += [(f"{name}+", name, positive[:, number]), (f"{name}−", name, ~positive[:, number])]
            said += [
                (f"{name} high", name, markers[:, number] > high[number]),
                (f"{name} low", name, markers[:, number] < low[number]),
            ]
        texts, of_markers, masks = zip(*said, strict=True)
        return cls(texts, of_markers, pack(np.stack(masks)))


@dataclass(frozen=True)
class Explanation:
    """The best formula found for one set of events.

    Attributes:
        formula: The formula in words; empty where there is nothing to explain.
        markers: The markers that it names, in its order.
        iou: Events for which it holds and that are in the set, over those of which one is true.
    """

    formula: str
    markers: tuple[str, ...]
    iou: float


def pack(masks: Masks) -> UInt64s:
    """Pack masks into words of 64 events: (n_masks, n_events) bool → (n_masks, n_words) uint64.

    Example:
        >>> np.bitwise_count(pack(np.ones((1, 65), dtype=bool))).tolist()
        [[64, 1]]
    """
    filled = np.pad(masks, ((0, 0), (0, -masks.shape[1] % 64)))
    return np.packbits(filled, axis=1).view(np.uint64)


def explain(events: UInt64s, atoms: Atoms) -> Explanation:
    """Look for the formula of AND, OR and AND NOT that holds for a set of events and no others.

    Gates are joined one by one from left to right; of all formulas of a length, ``BEAM`` are kept. A formula names no
    marker twice: so it cannot say a thing and its contrary, nor the same in other words.

    Args:
        events: (n_words,) uint64, the set of events, see ``pack``.
        atoms: Statements about the same events.

    Source: Mu & Andreas 2020 (arXiv 2006.14032), section 3.

    Example:
        >>> cd3, cd4 = np.array([[True, True, False, False], [True, False, True, False]])
        >>> atoms = Atoms(("CD3+", "CD4+"), ("CD3", "CD4"), pack(np.stack([cd3, cd4])))
        >>> explain(pack((cd3 & ~cd4)[None])[0], atoms).formula
        'CD3+ AND NOT CD4+'
    """
    scores = _iou(atoms.bits, events)
    kept = np.argsort(-scores, kind="stable")[:BEAM]
    beam: list[Formula] = [(atoms.bits[k], (atoms.names[k],), (atoms.markers[k],), float(scores[k])) for k in kept]
    found = [beam[0]]
    while len(found) < MAX_LENGTH and (beam := _extended(beam, events, atoms)):
        found.append(beam[0])
    best = max(found, key=lambda formula: formula[3] - MIN_GAIN * len(formula[2]))
    return Explanation(" ".join(best[1]), best[2], best[3])


def _extended(beam: list[Formula], events: UInt64s, atoms: Atoms) -> list[Formula]:
    held = np.stack([formula[0] for formula in beam])[:, None]
    joined = np.stack([held & atoms.bits, held | atoms.bits, held & ~atoms.bits])  # (3, n_beam, n_atoms, n_words)
    scores = _iou(joined, events)
    for row, (_, _, markers, _) in enumerate(beam):
        scores[:, row, np.isin(atoms.markers, markers)] = NAMED_TWICE
    order = np.argsort(-scores, axis=None, kind="stable")[: 4 * BEAM]
    found: list[Formula] = []
    seen: set[bytes] = set()
    for operator, row, atom in zip(*np.unravel_index(order, scores.shape), strict=True):
        if scores[operator, row, atom] == NAMED_TWICE:
            break  # and all that come after it
        bits = joined[operator, row, atom]
        if bits.tobytes() in seen:  # the same events in other words
            continue
        seen.add(bits.tobytes())
        _, words, markers, _ = beam[row]
        text = (f"({' '.join(words)})" if len(words) > 1 else words[0], _OPERATORS[operator], atoms.names[atom])
        found.append((bits, text, (*markers, atoms.markers[atom]), float(scores[operator, row, atom])))
    return found[:BEAM]


NAMED_TWICE = -1.0
"""The score of a formula that would name a marker twice: below all others."""

_OPERATORS = ("AND", "OR", "AND NOT")


def _iou(bits: UInt64s, events: UInt64s) -> Float64s:
    both = np.bitwise_count(bits & events).sum(axis=-1, dtype=np.int64)
    either = np.bitwise_count(bits | events).sum(axis=-1, dtype=np.int64)
    return np.asarray(both / np.maximum(either, 1))


def chance(n_active: int, n_events: int, atoms: Atoms, seed: int) -> float:
    """The largest IoU that ``explain`` finds for ``N_PERMUTED`` random sets of as many events.

    Example:
        >>> every = Atoms(("CD3+",), ("CD3",), pack(np.ones((1, 100), dtype=bool)))
        >>> chance(25, 100, every, seed=0)
        0.25
    """
    generator = np.random.default_rng(seed)
    drawn = pack(np.stack([generator.permutation(n_events) < n_active for _ in range(N_PERMUTED)]))
    return max(explain(events, atoms).iou for events in drawn)


def explanation_table(subject: EditSubject, seed: int) -> pd.DataFrame:
    """A row for each neuron and end of its range, from the source's events.

    Columns: neuron, end (``high``, ``low``), events, formula, markers, iou, by_chance (the largest of random sets);
    a neuron that tells no events apart has no formula.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> explanation_table(example_subject(), seed=0)[["neuron", "end", "formula"]].head(2).values.tolist()
        [[0, 'high', 'CD3 high'], [0, 'low', 'CD3 low']]
    """
    population = subject.sample(MAX_FORMULA_EVENTS, seed).source
    gates = Positivity.fit(population.markers, seed)
    atoms = Atoms.from_markers(population.markers, subject.marker_names, gates)
    n_events, by_chance, rows = len(population.markers), {}, []
    for number, values in enumerate(population.activations.T):
        low, high = np.percentile(values, [ACTIVE_PERCENT, 100 - ACTIVE_PERCENT])
        for end, active in (("high", values > high), ("low", values < low)):
            n_active = int(active.sum())
            row: dict[str, object] = {"neuron": number, "end": end, "events": n_active}
            if n_active == 0:
                rows.append(row | {"formula": "", "markers": "", "iou": np.nan, "by_chance": np.nan})
                continue
            if n_active not in by_chance:
                by_chance[n_active] = chance(n_active, n_events, atoms, seed)
            found = explain(pack(active[None])[0], atoms)
            named = {"formula": found.formula, "markers": ", ".join(found.markers), "iou": found.iou}
            rows.append(row | named | {"by_chance": by_chance[n_active]})
    return pd.DataFrame(rows)


def explanations_part(subject: EditSubject, weights: Floats, seed: int = 0, n_shown: int = 10) -> Part:
    """Row 8: the best formula of marker gates for each end of each neuron's range.

    Args:
        subject: Gives the source's events and activations.
        weights: (n_neurons,) shares of the edit; the heaviest neurons are drawn.
        seed: Draws events and random sets.
        n_shown: Neurons drawn.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> explanations_part(example_subject(), np.array([0.0, 0.0, 1.0]), n_shown=1).drawings[0].reading
        'Best explained is the high end of neuron 2: pSTAT1 high (IoU 1.00, by chance 0.15).'
    """
    numbered = explanation_table(subject, seed)
    table = subject.called(numbered)
    heaviest = np.argsort(-weights, kind="stable")[:n_shown]
    shown = table[numbered["neuron"].isin(heaviest) & table["iou"].notna()]
    return Part(
        "explanations",
        "Logical explanations",
        "neurons",
        _read(table),
        {"explanations": table},
        (_drawing(shown),) if len(shown) else (),
    )


def _drawing(shown: pd.DataFrame) -> Drawing:
    titles = [
        f"neuron {neuron} {end}: {textwrap.shorten(formula, 60, placeholder=' …')}"
        for neuron, end, formula in zip(shown["neuron"], shown["end"], shown["formula"], strict=True)
    ]
    bars = pd.DataFrame({"formula": shown["iou"].to_numpy()}, index=titles)
    best = shown.iloc[int(shown["iou"].argmax())]
    return Drawing(
        "explanations",
        lambda: bar_figure(bars, "IoU with the neuron's events", {"by chance": float(shown["by_chance"].max())}),
        "Bars: how well a formula of marker gates tells which events activate each of the edit's heaviest neurons",
        f"Best explained is the {best['end']} end of neuron {best['neuron']}: {best['formula']} "
        f"(IoU {best['iou']:.2f}, by chance {best['by_chance']:.2f}).",
    )


def _read(table: pd.DataFrame) -> str:
    told = table[table["iou"].notna()]
    good = int((told["iou"] >= 2 * told["by_chance"]).sum())
    return (
        f"A formula of up to {MAX_LENGTH} marker gates explains {good} of {len(told)} ends of neurons' ranges at least "
        f"twice as well as random events of the same number; {len(table) - len(told)} tell no events apart."
    )
