"""Evaluation: edited events compared with their measured truth, beside the noise floor and doing nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score
from threadpoolctl import threadpool_limits

from neuronedit.arrays import Float32s, Float64s, Floats
from neuronedit.cells.design import MIN_POPULATION_EVENTS
from neuronedit.cells.tables import write_csv
from neuronedit.errors import DataError
from neuronedit.measures.distances import beside_halves, emd, made_worse, normalised_residual, random_halves
from neuronedit.measures.moments import correlation_error, delta_r2, mad_ratio, mad_score
from neuronedit.measures.pairs import MAX_PAIRED_EVENTS, energy_distance, equally_many, rbf_mmd

N_FOLDS = 5


def classifier_auc(a: Floats, b: Floats, seed: int = 0) -> float:
    """Area under the ROC curve of a classifier of two populations: 0.5 if they look the same, 1 if fully separable.

    The mean over ``N_FOLDS`` folds, each scored by a classifier that was trained on the others; from equal counts of
    events. Equal laws score 0.5 give or take about 1/√(6 n); samples that share events can score below 0.5.

    The classifier is gradient boosting (50 trees of 8 leaves): a logistic regression sees little but differences of
    the means, which every simple correction removes, while trees see spikes, spreads and combinations of markers,
    and do not depend on the markers' scales.

    Args:
        a: (n, n_markers), in any unit.
        b: (k, n_markers); n and k at least ``N_FOLDS``.
        seed: Draws min(n, k, ``MAX_PAIRED_EVENTS``) events of each population that has more, and the folds.

    Source: Lopez-Paz & Oquab 2017, ICLR (arXiv 1610.06545), with the AUC in the place of the accuracy.

    Example:
        >>> classifier_auc(np.zeros((100, 1)), np.ones((100, 1)))
        1.0
    """
    a, b = equally_many(a, b, MAX_PAIRED_EVENTS, seed)
    classifier = HistGradientBoostingClassifier(
        learning_rate=0.2, max_iter=50, max_leaf_nodes=8, early_stopping=False, random_state=seed
    )
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    # OpenMP's threads wait for each other after every node of a tree: on shared cores that was ten times slower.
    with threadpool_limits(1):
        scores = cross_val_score(
            classifier, np.concatenate([a, b]), np.repeat([0, 1], len(a)), cv=folds, scoring="roc_auc"
        )
    return float(np.mean(scores))


Metric = Callable[[Float32s, Float32s, int], float]

METRICS: Mapping[str, Metric] = {
    "emd": lambda a, b, seed: float(emd(a, b).mean()),
    "energy": energy_distance,
    "mmd": rbf_mmd,
    "auc": classifier_auc,
    "correlation_error": lambda a, b, seed: correlation_error(a, b),
    "mad_error": lambda a, b, seed: mad_score(a, b),
}
"""Metrics (events, truth, seed) → float, each near its noise floor for a perfect edit and larger for a worse one."""


@dataclass(frozen=True)
class ComparedEvents:
    """A sample of one dataset's events.

    Attributes:
        name: The dataset's role, for messages: ``edited``, ``truth`` or ``unedited``.
        events: (n_events, n_markers) float32, transformed units, in random order.
        populations: (n, n_markers) events of each cell population, by name; empty if none are told apart.
        counts: Number of events in the whole dataset, by population.

    Raises:
        DataError: There are too few events.
    """

    name: str
    events: Float32s
    populations: Mapping[str, Float32s] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.events) < MIN_POPULATION_EVENTS:
            raise DataError(
                f"{self.name}: found {len(self.events) or 'no'} events; "
                f"expected at least {MIN_POPULATION_EVENTS} to compare. "
                f"Correct {self.name}.where, or add events."
            )


@dataclass(frozen=True)
class Evaluation:
    """Scores of edited events, as three tables.

    Attributes:
        scores: See ``score_table``.
        markers: See ``marker_table``.
        populations: See ``population_table``; no rows if no populations are told apart.
    """

    scores: pd.DataFrame
    markers: pd.DataFrame
    populations: pd.DataFrame

    def scalars(self) -> dict[str, float]:
        """Name each finite number of ``scores``: ``emd``, ``emd_floor``, ``emd_unedited``, and so on."""
        return {
            str(metric) if column == "edited" else f"{metric}_{column}": float(value)
            for metric, row in self.scores.iterrows()
            for column, value in row.items()
            if np.isfinite(value)
        }


def evaluate(samples: Mapping[str, ComparedEvents], markers: Sequence[str], seed: int = 0) -> Evaluation:
    """Compare edited events with the truth and, if they are given, unedited events with the truth.

    Args:
        samples: ``edited``, ``truth`` and, optionally, ``unedited``.
        markers: (n_markers,) names.
        seed: Halves the truth, and draws events and folds.

    Example:
        >>> cells = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
        >>> compared = {name: ComparedEvents(name, cells) for name in ("edited", "truth")}
        >>> found = evaluate(compared, ["CD3", "CD4"])
        >>> found.scores.columns.tolist(), len(found.markers), len(found.populations)
        (['edited', 'floor'], 2, 0)
    """
    edited, truth, unedited = samples["edited"], samples["truth"], samples.get("unedited")
    before = unedited.events if unedited else None
    return Evaluation(
        score_table(edited.events, truth.events, before, seed),
        marker_table(edited.events, truth.events, before, markers, seed),
        population_table(edited, truth, unedited, markers, seed),
    )


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write ``scores.csv``, ``markers.csv`` and, if populations are told apart, ``populations.csv``.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> rows = pd.DataFrame({"edited": [0.1]})
        >>> with TemporaryDirectory() as folder:
        ...     write_evaluation(Evaluation(rows, rows, rows[:0]), Path(folder))
        ...     sorted(file.name for file in Path(folder).iterdir())
        ['markers.csv', 'scores.csv']
    """
    write_csv(evaluation.scores, folder / "scores.csv", index=True)
    write_csv(evaluation.markers, folder / "markers.csv")
    if len(evaluation.populations):
        write_csv(evaluation.populations, folder / "populations.csv")


def score_table(edited: Float32s, truth: Float32s, unedited: Float32s | None, seed: int) -> pd.DataFrame:
    """Score events by every metric, a row for each.

    Columns: edited, floor and, with unedited events, unedited and residual (see ``normalised_residual``).

    Unedited events add three rows: ``delta_r2``, whose residual is that of 1 − R²; ``mad_score``, which compares edited
    with unedited events, not with the truth; and ``markers_worse``, a count of markers.

    Args:
        edited: (n_edited, n_markers) float32, transformed units.
        truth: (n_truth, n_markers).
        unedited: (n_unedited, n_markers), or None.
        seed: Halves the truth, and draws events and folds.

    Example:
        >>> shifted, truth = np.full((60, 1), 2, np.float32), np.zeros((60, 1), np.float32)
        >>> score_table(shifted, truth, None, seed=0).loc["emd"].round(3).tolist()
        [2.0, 0.0]
    """
    rows = {name: _score(metric, edited, truth, unedited, seed) for name, metric in METRICS.items()}
    if unedited is not None:
        means = unedited.mean(axis=0, dtype=np.float64)

        def r2(a: Float32s, b: Float32s, _: int) -> float:
            return delta_r2(a.mean(axis=0, dtype=np.float64) - means, b.mean(axis=0, dtype=np.float64) - means)

        rows["delta_r2"] = _score(r2, edited, truth, unedited, seed, smaller_is_better=False)
        floor = rows["mad_error"]["floor"]
        rows["mad_score"] = {"edited": mad_score(edited, unedited), "floor": floor, "unedited": 0.0}
        emds = _marker_emds(edited, truth, unedited, seed)
        worse = made_worse(emds["edited"], emds["unedited"], emds["floor"])
        rows["markers_worse"] = {"edited": float(worse.sum()), "floor": 0.0, "unedited": 0.0}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")


def marker_table(
    edited: Float32s, truth: Float32s, unedited: Float32s | None, markers: Sequence[str], seed: int
) -> pd.DataFrame:
    """Score events marker by marker: a row for each, the marker furthest from the truth first.

    Columns: marker; the EMDs to the truth edited, floor and, with unedited events, unedited (transformed units);
    mad_ratio (MAD edited / MAD truth); with unedited events also worse (see ``made_worse``), mad_kept (MAD edited /
    MAD unedited), and the mean changes predicted and measured (transformed units).

    Example:
        >>> truth = np.zeros((60, 2), np.float32)
        >>> marker_table(truth + np.float32([0, 1]), truth, None, ["CD3", "CD4"], seed=0)["marker"].tolist()
        ['CD4', 'CD3']
    """
    emds = _marker_emds(edited, truth, unedited, seed)
    columns: dict[str, object] = {"marker": list(markers), **emds, "mad_ratio": mad_ratio(edited, truth)}
    if unedited is not None:
        means = unedited.mean(axis=0, dtype=np.float64)
        columns |= {
            "worse": made_worse(emds["edited"], emds["unedited"], emds["floor"]),
            "mad_kept": mad_ratio(edited, unedited),
            "predicted": edited.mean(axis=0, dtype=np.float64) - means,
            "measured": truth.mean(axis=0, dtype=np.float64) - means,
        }
    return pd.DataFrame(columns).sort_values("edited", ascending=False, kind="stable", ignore_index=True)


def population_table(
    edited: ComparedEvents, truth: ComparedEvents, unedited: ComparedEvents | None, markers: Sequence[str], seed: int
) -> pd.DataFrame:
    """Score events marker by marker in each population.

    Columns: population, events_edited, events_truth, then those of ``marker_table``. Only populations with at least
    ``MIN_POPULATION_EVENTS`` events in every dataset are compared; others have one row, without a marker, to show their
    counts.

    Example:
        >>> cells = np.zeros((60, 1), np.float32)
        >>> one, other = (ComparedEvents(name, cells, {"B": cells}, {"B": 500}) for name in ("edited", "truth"))
        >>> table = population_table(one, other, None, ["CD3"], seed=0)
        >>> table[["population", "events_truth", "edited"]].values.tolist()
        [['B', 500, 0.0]]
    """
    tables = []
    for name in sorted({*edited.populations, *truth.populations}):
        counts = {"events_edited": edited.counts.get(name, 0), "events_truth": truth.counts.get(name, 0)}
        drawn = [sample.populations.get(name, ()) for sample in (edited, truth, unedited) if sample]
        if min(map(len, drawn)) < MIN_POPULATION_EVENTS:
            table = pd.DataFrame({"marker": [None]})
        else:
            before = unedited.populations[name] if unedited else None
            table = marker_table(edited.populations[name], truth.populations[name], before, markers, seed)
        tables.append(pd.DataFrame({"population": name, **counts}, index=table.index).join(table))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["population", "marker"])


def _score(
    metric: Metric,
    edited: Float32s,
    truth: Float32s,
    unedited: Float32s | None,
    seed: int,
    smaller_is_better: bool = True,
) -> dict[str, float]:
    """Score edited and unedited events by one metric, against halves of the truth, as the floor is scored."""

    def to_truth(events: Float32s) -> float:
        return float(np.mean([metric(part, half, seed) for part, half in beside_halves(events, truth, seed)]))

    scores = {"edited": to_truth(edited), "floor": metric(*random_halves(truth, seed), seed)}
    if unedited is not None:
        scores["unedited"] = to_truth(unedited)
        # 1 − R² is left to remove, as a distance is; in the residual the 1 cancels.
        signed = {name: score if smaller_is_better else -score for name, score in scores.items()}
        scores["residual"] = normalised_residual(signed["edited"], signed["floor"], signed["unedited"])
    return scores


def _marker_emds(edited: Float32s, truth: Float32s, unedited: Float32s | None, seed: int) -> dict[str, Float64s]:
    def to_truth(events: Float32s) -> Float64s:
        return np.mean([emd(part, half) for part, half in beside_halves(events, truth, seed)], axis=0)

    emds = {"edited": to_truth(edited), "floor": emd(*random_halves(truth, seed))}
    return emds if unedited is None else emds | {"unedited": to_truth(unedited)}
