"""Transfer: how near an edit, and the simple methods, bring events to a measured truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final, Literal

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Masks, Texts
from neuronedit.cells.design import MIN_POPULATION_EVENTS, PAIR_EDIT
from neuronedit.edits.baselines import NO_EDIT, QUANTILE_MAP, baselines
from neuronedit.edits.edit import Edit, fit_edit
from neuronedit.edits.operators.table import Fitting
from neuronedit.errors import DataError
from neuronedit.measures.distances import FLOOR, Distance
from neuronedit.measures.halves import HalfDistances, halved_distances, surely_worse
from neuronedit.model.edit_model import EditModel
from neuronedit.model.example import example_cells

NEURONEDIT: Final = "neuronedit"
WITHOUT_NEURONS: Final = "without neurons"
"""The same plan, without its steps that edit neurons: what these add shows beside it."""

TRAINING_PAIR: Final = "training pair"
HELD_OUT: Final = "held out"
Kind = Literal["training pair", "held out"]


@dataclass(frozen=True)
class Comparison:
    """Events to apply an edit to, and the measured truth that they should then be like.

    Attributes:
        name: Its name for people, e.g. ``PTLG028 → PTLG021``.
        kind: ``training pair``: the edit was fitted on these events and this truth; ``held out``: it was not.
        edit: The edit's name in the model.
        source: (n_source, n_markers) raw intensities that the edit was fitted from.
        target: (n_target, n_markers) raw intensities that the edit was fitted to.
        events: (n_events, n_markers) raw intensities to apply it to; the source in a training pair.
        truth: (n_truth, n_markers) raw intensities of their measured counterpart; the target in a training pair.
        event_types: (n_events,) names of the events' cell types; None where they are not known.
        truth_types: (n_truth,) names of the truth's cell types; None where they are not known.
        cells: The name of the events by the data's columns, e.g. ``cell_type = igm+``; empty where there is none.

    Raises:
        DataError: A population is too small, has no two axes, or holds values that are not finite.
    """

    name: str
    kind: Kind
    edit: str
    source: Float32s
    target: Float32s
    events: Float32s
    truth: Float32s
    event_types: Texts | None = None
    truth_types: Texts | None = None
    cells: str = ""

    def __post_init__(self) -> None:
        for role in ("source", "target", "events", "truth"):
            shape = np.shape(getattr(self, role))
            if len(shape) != 2 or shape[0] < MIN_POPULATION_EVENTS or shape[1] != self.events.shape[-1]:
                raise DataError(
                    f"comparison {self.name!r}: {role} has the shape {shape}; "
                    f"expected at least {MIN_POPULATION_EVENTS} events "
                    f"by {self.events.shape[-1]} markers. Draw more events, or leave the comparison out."
                )
            if not np.isfinite(getattr(self, role)).all():
                raise DataError(
                    f"comparison {self.name!r}: {role} holds intensities that are not finite. "
                    "Remove these events before the review."
                )


@cache
def example_comparison() -> Comparison:
    """Give held-out cells for the edit of ``example_model``, and other cells that were treated as their truth.

    Example:
        >>> example_comparison().kind, example_comparison().events.shape
        ('held out', (400, 3))
    """
    control, treated = ([example_cells(seed, rise) for seed in (0, 2)] for rise in (0.0, 1.0))
    return Comparison("other cells", HELD_OUT, PAIR_EDIT, control[0], treated[0], control[1], treated[1])


@dataclass(frozen=True)
class Transfer:
    """One comparison with every method's result on its events.

    Attributes:
        comparison: The events and their truth.
        predictions: (n_events, n_markers) transformed units, by method.
        truth: (n_truth, n_markers) transformed units.
        halves: Distances to the truth on halves of both, by method; ``noise floor`` is the last.
    """

    comparison: Comparison
    predictions: Mapping[str, Float32s]
    truth: Float32s
    halves: Mapping[str, HalfDistances]

    @cached_property
    def distances(self) -> dict[str, Distance]:
        """Distances to the truth by method, the means over halves."""
        return {method: halves.mean for method, halves in self.halves.items()}

    def made_worse(self, method: str) -> Masks:
        """Find markers that a method surely leads away from the truth, by more than the noise floor: (n_markers,)."""
        return surely_worse(self.halves[method], self.halves[NO_EDIT], self.halves[FLOOR])


def measure_transfers(model: EditModel, comparisons: Sequence[Comparison], seed: int) -> list[Transfer]:
    """Apply edits, their steps on markers alone and every baseline, and measure how far from the truth each ends.

    Args:
        model: The model.
        comparisons: Those of the same edit have the same source and target.
        seed: Fits the steps on markers, and splits the events.

    Raises:
        ModelError: The model has no edit of a comparison's name.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> (found,) = measure_transfers(example_model(), [example_comparison()], seed=0)
        >>> found.distances[NO_EDIT].emd.round(1).tolist(), found.distances[NEURONEDIT].emd.round(1).tolist()
        ([0.1, 0.1, 1.0], [0.1, 0.1, 0.0])
    """
    by_edit = {comparison.edit: comparison for comparison in comparisons}
    of_markers = {name: _without_neurons(model, comparison, seed) for name, comparison in by_edit.items()}
    return [_measure(model, comparison, of_markers[comparison.edit], seed) for comparison in comparisons]


def _measure(model: EditModel, comparison: Comparison, of_markers: Edit | None, seed: int) -> Transfer:
    source, target, events, truth = (
        model.scaling.transform(population)
        for population in (comparison.source, comparison.target, comparison.events, comparison.truth)
    )
    predictions = {NEURONEDIT: model.scaling.transform(model.apply(comparison.events, comparison.edit))}
    if of_markers:
        edited = of_markers.apply(model.autoencoders, model.standardised(comparison.events))
        predictions[WITHOUT_NEURONS] = model.scaling.unstandardise(edited)
    for name, baseline in baselines(model.autoencoder, model.scaling).items():
        predictions[name] = baseline(source, target, events)
    return Transfer(comparison, predictions, truth, halved_distances(predictions, truth, seed))


def _without_neurons(model: EditModel, comparison: Comparison, seed: int) -> Edit | None:
    """Fit a comparison's edit again, without its steps that edit neurons; None where that is all or nothing of it."""
    edit = model.get_edit(comparison.edit)
    of_markers = tuple(step for step in edit.plan if not step.latent)
    if not 0 < len(of_markers) < len(edit.plan):
        return None
    return fit_edit(
        edit.name,
        model.autoencoders,
        of_markers,
        *map(model.standardised, (comparison.source, comparison.target)),
        zeros=model.scaling.zeros,
        fitting=Fitting(seed=seed, unmoved=edit.unmoved),
        shrinks=edit.shrinks,
        unlearnable=edit.unlearnable,
    )


def method_table(transfers: Sequence[Transfer]) -> pd.DataFrame:
    """A row for each comparison and method.

    Columns: comparison, kind, method, each score of ``metrics.DECISIVE`` (emd, energy), its normalised residual
    (r_emd, r_energy), its standard error (emd_error, energy_error), that of neuronedit's score less this one
    (emd_less_error, energy_less_error; NaN for the floor), and markers_worse (markers surely further from the truth
    than without edit, by more than their noise floor).

    Example:
        >>> from neuronedit.model.example import example_model
        >>> table = method_table(measure_transfers(example_model(), [example_comparison()], seed=0))
        >>> table.set_index("method").loc[[NO_EDIT, NEURONEDIT], "emd"].round(1).tolist()
        [0.4, 0.1]
    """
    return pd.DataFrame(
        [
            {
                "comparison": transfer.comparison.name,
                "kind": transfer.comparison.kind,
                "method": method,
                **_scores(transfer, method),
            }
            for transfer in transfers
            for method in transfer.halves
        ]
    )


def transfer_table(transfers: Sequence[Transfer], markers: Sequence[str]) -> pd.DataFrame:
    """A row for each comparison and marker, the marker furthest from the truth without edit first.

    Columns: comparison, kind, marker, and EMDs to the truth in transformed units: before, after, quantile_map, floor;
    change_error, the standard error of after less before; worse: whether the edit surely leaves the marker further
    away, by more than its noise floor.

    Example:
        >>> from neuronedit.model.example import MARKERS, example_model
        >>> transfers = measure_transfers(example_model(), [example_comparison()], seed=0)
        >>> transfer_table(transfers, MARKERS)[["marker", "before", "after"]].round(1).values.tolist()
        [['pSTAT1', 1.0, 0.0], ['CD4', 0.1, 0.1], ['CD3', 0.1, 0.1]]
    """
    tables = []
    for transfer in transfers:
        before, after, floor = (transfer.distances[name].emd for name in (NO_EDIT, NEURONEDIT, FLOOR))
        columns = {
            "comparison": transfer.comparison.name,
            "kind": transfer.comparison.kind,
            "marker": markers,
            "before": before,
            "after": after,
            "quantile_map": transfer.distances[QUANTILE_MAP].emd,
            "floor": floor,
            "change_error": transfer.halves[NEURONEDIT].less(transfer.halves[NO_EDIT]).marker_errors,
            "worse": transfer.made_worse(NEURONEDIT),
        }
        tables.append(pd.DataFrame(columns).sort_values("before", ascending=False, kind="stable"))
    return pd.concat(tables, ignore_index=True)


def reconstruction_table(model: EditModel, populations: Mapping[str, Float32s]) -> pd.DataFrame:
    """A row for each population: how well the autoencoder returns what it is given.

    Columns: population, events, mse (of standardised markers), explained (share of the population's own variance).

    Args:
        model: Its autoencoder reconstructs.
        populations: Raw intensities, (n_events, n_markers) each.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> table = reconstruction_table(example_model(), {"source": example_cells()})
        >>> table[["population", "events", "explained"]].values.tolist()
        [['source', 400, 1.0]]
    """
    rows = []
    for name, intensities in populations.items():
        markers = model.standardised(intensities)
        mse = float(np.mean((model.reconstruct(intensities) - markers) ** 2, dtype=np.float64))
        variance = float(markers.var(axis=0, dtype=np.float64).mean())
        explained = 1 - mse / variance if variance > 0 else float("nan")
        rows.append({"population": name, "events": len(intensities), "mse": mse, "explained": explained})
    return pd.DataFrame(rows, columns=["population", "events", "mse", "explained"])


def _scores(transfer: Transfer, method: str) -> dict[str, float | int]:
    halves, distance = transfer.halves[method], transfer.distances[method]
    less = {} if method == FLOOR else transfer.halves[NEURONEDIT].less(halves).errors
    return {
        **distance.scores,
        **distance.residuals(transfer.distances[FLOOR], transfer.distances[NO_EDIT]),
        **{f"{name}_error": error for name, error in halves.errors.items()},
        **{f"{name}_less_error": error for name, error in less.items()},
        "markers_worse": 0 if method == FLOOR else int(transfer.made_worse(method).sum()),
    }
