"""Combinations: two treatments together, predicted from the edits of each, compared with the measurement.

An edit of A, applied to cells treated with B, predicts cells treated with both. It can foresee an interaction only
if A's effect depends on the state that B leaves a cell in, as in saturation; effects that only the two drugs together
set off are in no single-drug data, and no edit can predict them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Float64s, Int64s
from neuronedit.cells.arms import CONTROL, A, Arm, B, Experiment
from neuronedit.cells.tables import write_csv
from neuronedit.edits.baselines import NO_EDIT
from neuronedit.errors import NOT_MEASURED
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
from neuronedit.model.predictions import A_ON_B, A_THEN_B, B_ON_A, B_THEN_A, ROUTES, START, RawEdit, predict

MEASURED: Final = "measured"

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
        markers: A row for each marker, EMDs in transformed units: between the two orders (order_emd, beside
            order_floor), between either edit on the other drug's cells (routes_emd), and by method to measured A+B.
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

    Example:
        A doubles, B triples, and both together do what A's edit does to B-treated cells:

        >>> from neuronedit.cells.panel import Panel
        >>> cells = np.random.default_rng(0).lognormal(4.0, 0.5, (200, 1))
        >>> arms = [Arm(name, gain * cells) for name, gain in {CONTROL: 1, A: 2, B: 3, "both": 6}.items()]
        >>> found = combine(Experiment(Panel(("CD4",), (1.0,)), *arms), lambda raw: 2 * raw, lambda raw: 3 * raw)
        >>> found.distances.set_index("method")["emd"][[A_ON_B, B_ALONE, NO_EDIT]].round(1).tolist()
        [0.0, 0.7, 1.8]
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
    markers = _prediction_table(experiment.panel.markers, orders, measured)
    return Combination(distance_table(measured), markers, excess, order, order_floor, routes)


def mean_changes(experiment: Experiment) -> tuple[Float64s, Float64s]:
    """Mean changes from the control by A alone and by B alone, (n_markers,) transformed units each.

    Example:
        >>> from neuronedit.cells.panel import Panel
        >>> arms = [Arm(name, np.full((50, 1), np.sinh(value))) for name, value in {CONTROL: 1, A: 3, B: 2}.items()]
        >>> [change.round(2).tolist() for change in mean_changes(Experiment(Panel(("CD4",), (1.0,)), *arms))]
        [[2.0], [1.0]]
    """
    control, a, b = (_mean(experiment, arm) for arm in (experiment.control, experiment.a, experiment.b))
    return a - control, b - control


def excess_parts(experiment: Experiment, predictions: Mapping[str, Float32s]) -> dict[str, list[Term]]:
    """Give the parts that each arm adds to the excess of measured A+B and of each prediction.

    A prediction is made from the cells of one arm, which are in the sum themselves, too: both are resampled together,
    so that their shared scatter cancels.

    Example:
        A adds 2, B adds 1, and both together 4, arcsinh units: an excess of 1.

        >>> from neuronedit.cells.panel import Panel
        >>> levels = {CONTROL: 1, A: 3, B: 2, "both": 5}
        >>> arms = [Arm(name, np.full((50, 1), np.sinh(value))) for name, value in levels.items()]
        >>> parts = excess_parts(Experiment(Panel(("CD4",), (1.0,)), *arms), {})
        >>> round(float(sum(part.mean() for part in parts[MEASURED])[0]), 2)
        1.0
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


def write_combination(combination: Combination, folder: Path) -> None:
    """Write ``excess.csv``, ``markers.csv`` and, if A+B was measured, ``distances.csv``.

    Example:
        >>> from neuronedit.cells.panel import Panel
        >>> import tempfile
        >>> cells = np.random.default_rng(0).lognormal(4.0, 0.5, (200, 1))
        >>> arms = [Arm(name, gain * cells) for name, gain in {CONTROL: 1, A: 2, B: 3}.items()]
        >>> found = combine(Experiment(Panel(("CD4",), (1.0,)), *arms), lambda raw: 2 * raw, lambda raw: 3 * raw)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_combination(found, Path(folder))
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['excess.csv', 'markers.csv']
    """
    write_csv(combination.excess, folder / "excess.csv")
    write_csv(combination.markers, folder / "markers.csv")
    if len(combination.distances):
        write_csv(combination.distances, folder / "distances.csv")


def _prediction_table(
    markers: tuple[str, ...], orders: Mapping[str, Float64s], measured: Mapping[str, Distance]
) -> pd.DataFrame:
    """Tabulate the EMDs of ``Combination.markers``."""
    return pd.DataFrame({"marker": markers, **orders, **{method: found.emd for method, found in measured.items()}})


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
