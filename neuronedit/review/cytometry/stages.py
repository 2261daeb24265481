"""Stages of a comparison's events: before the edit, after it, and the truth; of all events, or of one cell type."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Self

from neuronedit.arrays import Float32s, Float64s, Int64s, Masks, Texts
from neuronedit.edits.baselines import NO_EDIT
from neuronedit.errors import DataError
from neuronedit.measures.distances import FLOOR
from neuronedit.measures.halves import halved_distances, surely_worse
from neuronedit.model.example import example_labels, example_model
from neuronedit.review.transfer.transfer import NEURONEDIT, Transfer, example_comparison, measure_transfers

ALL_EVENTS: Final = "all events"

MIN_TYPE_EVENTS: Final = 50
"""Events of a cell type, and of its truth, below which their distributions are not compared."""

N_DECIMALS: Final = 5
"""Of long tables' numbers: all digits would double what they take in the page."""


@dataclass(frozen=True)
class Stages:
    """The same events before and after an edit, and the truth.

    Attributes:
        before: (n_events, n_markers) float32, transformed units.
        edited: (n_events, n_markers) float32, the same events after the edit.
        truth: (n_truth, n_markers) float32.
    """

    before: Float32s
    edited: Float32s
    truth: Float32s

    @classmethod
    def of(cls, transfer: Transfer) -> Self:
        """Take all events of a comparison."""
        return cls(transfer.predictions[NO_EDIT], transfer.predictions[NEURONEDIT], transfer.truth)

    def of_markers(self, markers: Int64s) -> Self:
        """Restrict the events to some markers, (n_chosen,) int64."""
        return replace(
            self, before=self.before[:, markers], edited=self.edited[:, markers], truth=self.truth[:, markers]
        )

    @property
    def named(self) -> dict[str, Float32s]:
        """The three populations by the names that figures show."""
        return {"before": self.before, "edited": self.edited, "truth": self.truth}


@dataclass(frozen=True)
class TypedStages:
    """The stages of each cell type.

    Attributes:
        each: By cell type, the most common first.
        left_out: Cell types with too few events, or too few of the truth, to be compared.
    """

    each: Mapping[str, Stages]
    left_out: tuple[str, ...]

    @property
    def said_left_out(self) -> str:
        """A sentence on the cell types that are left out; empty where there are none."""
        if not self.left_out:
            return ""
        return (
            f" Left out, with fewer than {MIN_TYPE_EVENTS} events or so few in the truth: {', '.join(self.left_out)}."
        )


def split_by_type(transfer: Transfer) -> TypedStages:
    """Split a comparison's events and truth by cell type.

    Raises:
        DataError: The cell types of the events or of the truth are not known, or no type has enough events.

    Example:
        >>> list(split_by_type(example_transfer()).each)
        ['B', 'CD4 T', 'CD8 T', 'monocyte']
    """
    of_events, of_truth = known_types(transfer)
    counts, truth_counts = Counter(of_events), Counter(of_truth)
    names = sorted({*counts, *truth_counts}, key=lambda name: (-counts[name], name))
    enough = [name for name in names if min(counts[name], truth_counts[name]) >= MIN_TYPE_EVENTS]
    if not enough:
        raise DataError(
            f"comparison {transfer.comparison.name!r}: no cell type has {MIN_TYPE_EVENTS} events and as many of the "
            "truth. Draw more events, or label them more coarsely."
        )
    stages = Stages.of(transfer)
    each = {
        name: Stages(stages.before[of_events == name], stages.edited[of_events == name], stages.truth[of_truth == name])
        for name in enough
    }
    return TypedStages(each, tuple(name for name in names if name not in each))


def known_types(transfer: Transfer) -> tuple[Texts, Texts]:
    """Give the cell types of the events, (n_events,), and of the truth, (n_truth,).

    Raises:
        DataError: They are not known.

    Example:
        >>> [types[0] for types in known_types(example_transfer())]
        ['CD4 T', 'CD4 T']
    """
    comparison = transfer.comparison
    if comparison.event_types is None or comparison.truth_types is None:
        raise DataError(
            f"comparison {comparison.name!r}: the cell types of its events or of its truth are not known. "
            "Name their column in labels.cell_type."
        )
    return comparison.event_types, comparison.truth_types


def types_known(transfer: Transfer) -> bool:
    """Tell whether the cell types of the events and of the truth are known.

    Example:
        >>> types_known(example_transfer())
        True
    """
    return transfer.comparison.event_types is not None and transfer.comparison.truth_types is not None


@dataclass(frozen=True)
class Nearness:
    """Earth mover's distances to the truth.

    Attributes:
        before: (n_markers,) float64, of the events before the edit, transformed units.
        edited: (n_markers,) float64, of the edited events.
        floor: (n_markers,) float64, between two halves of the truth.
        worse: (n_markers,) bool, markers that the edit surely leads away from the truth.
    """

    before: Float64s
    edited: Float64s
    floor: Float64s
    worse: Masks


def nearness(stages: Stages, seed: int) -> Nearness:
    """Measure how far from the truth each marker is before and after the edit (see ``halved_distances``).

    Example:
        >>> found = nearness(Stages.of(example_transfer()), seed=0)
        >>> found.before.round(1).tolist(), found.edited.round(1).tolist()
        ([0.1, 0.1, 1.0], [0.1, 0.1, 0.0])
    """
    events = {NO_EDIT: stages.before, NEURONEDIT: stages.edited}
    halves = halved_distances(events, stages.truth, seed, joint=False)
    of_stages = [halves[name] for name in (NO_EDIT, NEURONEDIT, FLOOR)]
    before, edited, floor = (each.emd.mean(axis=0) for each in of_stages)
    return Nearness(before, edited, floor, surely_worse(of_stages[1], of_stages[0], of_stages[2]))


@cache
def example_transfer() -> Transfer:
    """Give held-out cells of four types, edited by ``example_model``, and their truth.

    Example:
        >>> Stages.of(example_transfer()).edited.shape
        (400, 3)
    """
    types = example_labels()["type"]
    comparison = replace(example_comparison(), event_types=types, truth_types=types)
    (transfer,) = measure_transfers(example_model(), [comparison], seed=0)
    return transfer
