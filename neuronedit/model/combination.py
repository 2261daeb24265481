"""Combinations: two treatments together, predicted from the edits of each, compared with the measurement.

An edit of A, applied to cells treated with B, predicts cells treated with both. It can foresee an interaction only
if A's effect depends on the state that B leaves a cell in, as in saturation; effects that only the two drugs together
set off are in no single-drug data, and no edit can predict them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Float64s, Floats, Int64s
from neuronedit.cells.arms import CONTROL, A, Arm, B, Experiment
from neuronedit.cells.design import PAIR_EDIT
from neuronedit.cells.events import check_finite
from neuronedit.cells.panel import Panel
from neuronedit.edits.baselines import NO_EDIT
from neuronedit.errors import NOT_MEASURED, ModelError, PanelError, listing, nearest_name
from neuronedit.measures.distances import (
    DECISIVE,
    DECISIVE_NAMES,
    FLOOR,
    Distance,
    distance,
    distance_to_truth,
    noise_floor,
)
from neuronedit.measures.synergy import CALLS, SynergyRule, Term, excess_table
from neuronedit.model.edit_model import EditModel

RawEdit = Callable[[Floats], Floats]
"""An edit of raw intensities, (n_events, n_markers) → the same shape; raw, because two models share no other scale."""

MEASURED: Final = "measured"

A_ON_B: Final = "A's edit on B-treated cells"
B_ON_A: Final = "B's edit on A-treated cells"
A_THEN_B: Final = "A's edit, then B's, on control cells"
B_THEN_A: Final = "B's edit, then A's, on control cells"

ROUTES: Final = {"a_on_b": A_ON_B, "b_on_a": B_ON_A, "a_then_b": A_THEN_B, "b_then_a": B_THEN_A}
"""The routes by which A+B is predicted, by the name in metrics."""

START: Final = {A_ON_B: B, B_ON_A: A, A_THEN_B: CONTROL, B_THEN_A: CONTROL}
"""The arm whose cells each route starts from."""

SIGNS: Final = {CONTROL: 1, A: -1, B: -1}
"""The sign of each arm's mean in the excess; the sign of A+B is 1."""

A_ALONE, B_ALONE = "A alone", "B alone"
ADDITIVITY = "additivity (marker means, on control cells)"
BETWEEN_SAMPLES = "between samples of A+B"


@dataclass(frozen=True)
class Combination:
    """Comparison of predictions of A+B with one another and with the measurement.

    Attributes:
        distances: See ``distance_table``; no rows if A+B was not measured.
        markers: See ``prediction_table``.
        excess: See ``excess_table``; the source is ``measured`` or one of ``ROUTES``.
        order: Distance between the two orders on control cells.
        order_floor: Noise floor of A's edit, then B's, on control cells.
        routes: Distance between A's edit on B-treated cells and B's edit on A-treated ones.
    """

    distances: pd.DataFrame
    markers: pd.DataFrame
    excess: pd.DataFrame
    order: Distance
    order_floor: Distance
    routes: Distance

    def scalars(self) -> dict[str, float]:
        """Name the numbers to log: order effect, distances, markers by call, and errors of the predicted excess."""
        found = {"order": self.order, "order_floor": self.order_floor, "routes": self.routes}
        values = {f"{name}_{score}": value for name, each in found.items() for score, value in each.scores.items()}
        routes = {label: name for name, label in ROUTES.items()}
        for source, rows in self.excess.groupby("source", sort=False):
            name = routes.get(str(source), MEASURED)
            values |= {f"{call}_{name}": float((rows["call"] == call).sum()) for call in CALLS}
        if self.distances.empty:
            return values
        names = routes | {NO_EDIT: "no_edit", A_ALONE: A, B_ALONE: B, ADDITIVITY: "additivity", FLOOR: "floor"}
        for score in DECISIVE_NAMES:
            scores = dict(zip(self.distances["method"], self.distances[score], strict=True))
            values |= {f"{score}_{name}": float(scores[label]) for label, name in names.items()}
        return values | self._foreseen()

    def summary(self) -> str:
        """Summarise as text: the distances, the order effect beside its floor, the number of markers by call."""
        calls = pd.crosstab(self.excess["source"], self.excess["call"]).reindex(columns=CALLS, fill_value=0)
        scores, floors = self.order.scores, self.order_floor.scores
        told = [
            f"{metric.title} {scores[metric.name]:.3f} ({'' if place else 'noise floor '}{floors[metric.name]:.3f})"
            for place, metric in enumerate(DECISIVE)
        ]
        parts = [f"Order effect: {', '.join(told)}", calls.reindex(self.excess["source"].unique()).to_string()]
        if len(self.distances):
            parts.insert(0, self.distances.set_index("method").round(3).to_string(na_rep=NOT_MEASURED))
        return "\n".join(parts)

    def _foreseen(self) -> dict[str, float]:
        """Root mean square over markers of predicted − measured excess; additivity predicts 0."""
        table = self.excess.pivot_table(index="marker", columns="source", values="excess", sort=False)
        errors = {name: table[label] - table[MEASURED] for name, label in ROUTES.items()}
        errors["additivity"] = table[MEASURED]
        return {f"excess_rmse_{name}": float(np.sqrt((error**2).mean())) for name, error in errors.items()}


def panel_edit(model: EditModel, panel: Panel, setting: str) -> RawEdit:
    """Make a pair model's edit of events with a panel's columns; markers that the model lacks stay as they are.

    Args:
        model: A model of a pair design.
        panel: The columns of the events.
        setting: The setting that names the model, for the message.

    Raises:
        ModelError: The model has no pair edit.
        PanelError: The panel lacks a marker of the model.
    """
    if PAIR_EDIT not in model.edits:
        raise ModelError(
            f"{setting}: expected a model of a pair design (one edit, {PAIR_EDIT!r}); found one edit for each of "
            f"{model.batch_column!r}: {listing(model.edits)}. Train a pair from the control to the treated cells."
        )
    missing = [marker for marker in model.panel.markers if marker not in panel.markers]
    if missing:
        raise PanelError(
            f"{setting}: the model edits {listing(missing)}, not in the panel ({panel.n_markers} markers"
            f"{nearest_name(missing[0], panel.markers)}). Add them to the panel: an edit needs all of its markers."
        )
    columns = [panel.markers.index(marker) for marker in model.panel.markers]

    def edit(intensities: Floats) -> Floats:
        edited = intensities.copy()
        edited[:, columns] = model.apply(np.ascontiguousarray(intensities[:, columns]), PAIR_EDIT)
        return edited

    return edit


def predict(experiment: Experiment, edit_a: RawEdit, edit_b: RawEdit) -> dict[str, Float32s]:
    """Predict A+B by every route: (n_events of the arm that it starts from, n_markers) transformed units each.

    Raises:
        DataError: An edit gives values that are not finite.

    Example:
        >>> arms = [Arm(name, np.ones((100, 1))) for name in (CONTROL, A, B)]
        >>> found = predict(Experiment(Panel(("CD4",), (1.0,)), *arms), lambda raw: 2 * raw, lambda raw: raw + 1)
        >>> [round(float(np.sinh(found[route][0, 0]))) for route in (A_THEN_B, B_THEN_A)]
        [3, 4]
    """
    control, a, b = (arm.intensities for arm in (experiment.control, experiment.a, experiment.b))
    raw = {
        A_ON_B: edit_a(b),
        B_ON_A: edit_b(a),
        A_THEN_B: edit_b(edit_a(control)),
        B_THEN_A: edit_a(edit_b(control)),
    }
    for route, events in raw.items():
        check_finite(events, experiment.panel.markers, route)
    return {route: experiment.transform(events) for route, events in raw.items()}


def combine(
    experiment: Experiment, edit_a: RawEdit, edit_b: RawEdit, rule: SynergyRule | None = None, seed: int = 0
) -> Combination:
    """Predict A+B, compare the orders and, where A+B was measured, every prediction with it.

    Args:
        experiment: The measured arms; with replicate samples, these are resampled for the intervals.
        edit_a: The edit from the control to A alone.
        edit_b: The edit from the control to B alone.
        rule: Intervals and calls; by default ``SynergyRule()``.
        seed: Halves the truth, draws events and resamples.

    Raises:
        DataError: An edit gives values that are not finite.
    """
    predictions = predict(experiment, edit_a, edit_b)
    measured = _to_measured(experiment, experiment.both, predictions, seed) if experiment.both else {}
    # The same cells both times: no sampling noise is in the order effect, and none in a floor of 0.
    order = distance(predictions[A_THEN_B], predictions[B_THEN_A], seed)
    order_floor = noise_floor(predictions[A_THEN_B], seed)
    routes = distance(predictions[A_ON_B], predictions[B_ON_A], seed)
    changes = mean_changes(experiment)
    excess = excess_table(
        excess_parts(experiment, predictions), changes, experiment.panel.markers, rule or SynergyRule(), seed
    )
    orders = {"order_emd": order.emd, "order_floor": order_floor.emd, "routes_emd": routes.emd}
    markers = prediction_table(experiment.panel.markers, orders, measured)
    return Combination(distance_table(measured), markers, excess, order, order_floor, routes)


def mean_changes(experiment: Experiment) -> tuple[Float64s, Float64s]:
    """Mean changes from the control by A alone and by B alone, (n_markers,) transformed units each."""
    control, a, b = (_mean(experiment, arm) for arm in (experiment.control, experiment.a, experiment.b))
    return a - control, b - control


def excess_parts(experiment: Experiment, predictions: Mapping[str, Float32s]) -> dict[str, list[Term]]:
    """Give the parts that each arm adds to the excess of measured A+B and of each prediction.

    A prediction is made from the cells of one arm, which are in the sum themselves, too: both are resampled together,
    so that their shared scatter cancels.
    """
    arms = {arm.name: arm for arm in (experiment.control, experiment.a, experiment.b)}
    signed = {name: sign * experiment.transform(arms[name].intensities) for name, sign in SIGNS.items()}
    alone = {name: Term(values, arms[name].samples) for name, values in signed.items()}
    parts = {}
    if experiment.both is not None:
        both = Term(experiment.transform(experiment.both.intensities), experiment.both.samples)
        parts[MEASURED] = [*alone.values(), both]
    for route, predicted in predictions.items():
        start = START[route]
        joint = Term(signed[start] + predicted, arms[start].samples)
        parts[route] = [*(part for name, part in alone.items() if name != start), joint]
    return parts


def distance_table(measured: Mapping[str, Distance]) -> pd.DataFrame:
    """Tabulate distances to measured A+B, a row for each method.

    Columns: method, each score of ``DECISIVE`` (emd, energy) and its normalised residual (r_emd, r_energy).

    Example:
        >>> emds = {NO_EDIT: 3.0, A_ALONE: 2.0, FLOOR: 1.0}
        >>> measured = {method: Distance(np.array([emd]), {"energy": emd}) for method, emd in emds.items()}
        >>> distance_table(measured)["r_emd"].tolist()
        [1.0, 0.5, 0.0]
    """
    rows = [
        {"method": method, **found.scores, **found.residuals(measured[FLOOR], measured[NO_EDIT])}
        for method, found in measured.items()
    ]
    return pd.DataFrame(rows, columns=["method", *DECISIVE_NAMES, *(f"r_{name}" for name in DECISIVE_NAMES)])


def prediction_table(
    markers: tuple[str, ...], orders: Mapping[str, Float64s], measured: Mapping[str, Distance]
) -> pd.DataFrame:
    """Tabulate each marker's EMDs between predictions and, by method, to measured A+B, in transformed units.

    order_emd is between the two orders, beside order_floor; routes_emd between either edit on the other drug's cells.
    """
    return pd.DataFrame({"marker": markers, **orders, **{method: found.emd for method, found in measured.items()}})


def write_combination(combination: Combination, folder: Path) -> None:
    """Write ``excess.csv``, ``markers.csv`` and, if A+B was measured, ``distances.csv``."""
    combination.excess.to_csv(folder / "excess.csv", index=False)
    combination.markers.to_csv(folder / "markers.csv", index=False)
    if len(combination.distances):
        combination.distances.to_csv(folder / "distances.csv", index=False)


def _mean(experiment: Experiment, arm: Arm) -> Float64s:
    return Term(experiment.transform(arm.intensities), arm.samples).mean()


def _to_measured(
    experiment: Experiment, both: Arm, predictions: Mapping[str, Float32s], seed: int
) -> dict[str, Distance]:
    """Compute every method's distance to measured A+B against the truth's halves, as the noise floor is computed."""
    control, a, b, truth = (
        experiment.transform(arm.intensities) for arm in (experiment.control, experiment.a, experiment.b, both)
    )
    change_a, change_b = (change.astype(np.float32) for change in mean_changes(experiment))
    methods = {
        NO_EDIT: control,
        A_ALONE: a,
        B_ALONE: b,
        ADDITIVITY: control + change_a + change_b,
        "A's mean change on B-treated cells": b + change_a,
        "B's mean change on A-treated cells": a + change_b,
        **predictions,
    }
    distances = {method: distance_to_truth(events, truth, seed) for method, events in methods.items()}
    distances[FLOOR] = noise_floor(truth, seed)
    if both.samples is not None:
        distances[BETWEEN_SAMPLES] = _between_samples(truth, both.samples, seed)
    return distances


def _between_samples(truth: Float32s, samples: Int64s, seed: int) -> Distance:
    """The mean distance between replicate samples: no prediction of one sample from another can beat it."""
    each = [truth[samples == sample] for sample in np.unique(samples)]
    return Distance.mean([distance(one, other, seed) for one, other in combinations(each, 2)])
