"""Evaluation: edited events compared with their measured truth, beside the noise floor and doing nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuronedit.design import MIN_EVENTS
from neuronedit.errors import DataError
from neuronedit.metrics import (
    beside_halves,
    emd,
    energy_distance,
    made_worse,
    normalised_residual,
    random_halves,
    rbf_mmd,
)
from neuronedit.moments import correlation_error, delta_r2, mad_ratio, mad_score
from neuronedit.two_sample import classifier_auc

FloatArray = npt.NDArray[np.float32]
Metric = Callable[[FloatArray, FloatArray, int], float]

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
class Sample:
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
    events: FloatArray
    populations: Mapping[str, FloatArray] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.events) < MIN_EVENTS:
            raise DataError(
                f"{self.name}: found {len(self.events) or 'no'} events; expected at least {MIN_EVENTS} to compare. "
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


def evaluate(samples: Mapping[str, Sample], markers: Sequence[str], seed: int = 0) -> Evaluation:
    """Compare edited events with the truth and, if they are given, unedited events with the truth.

    Args:
        samples: ``edited``, ``truth`` and, optionally, ``unedited``.
        markers: (n_markers,) names.
        seed: Halves the truth, and draws events and folds.

    Example:
        >>> cells = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
        >>> found = evaluate({"edited": Sample("edited", cells), "truth": Sample("truth", cells)}, ["CD3", "CD4"])
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


def write_tables(evaluation: Evaluation, folder: Path) -> None:
    """Write ``scores.csv``, ``markers.csv`` and, if populations are told apart, ``populations.csv``.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> rows = pd.DataFrame({"edited": [0.1]})
        >>> with TemporaryDirectory() as folder:
        ...     write_tables(Evaluation(rows, rows, rows[:0]), Path(folder))
        ...     sorted(file.name for file in Path(folder).iterdir())
        ['markers.csv', 'scores.csv']
    """
    evaluation.scores.to_csv(folder / "scores.csv")
    evaluation.markers.to_csv(folder / "markers.csv", index=False)
    if len(evaluation.populations):
        evaluation.populations.to_csv(folder / "populations.csv", index=False)


def score_table(edited: FloatArray, truth: FloatArray, unedited: FloatArray | None, seed: int) -> pd.DataFrame:
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

        def r2(a: FloatArray, b: FloatArray, _: int) -> float:
            return delta_r2(a.mean(axis=0, dtype=np.float64) - means, b.mean(axis=0, dtype=np.float64) - means)

        rows["delta_r2"] = _score(r2, edited, truth, unedited, seed, smaller_is_better=False)
        floor = rows["mad_error"]["floor"]
        rows["mad_score"] = {"edited": mad_score(edited, unedited), "floor": floor, "unedited": 0.0}
        emds = _marker_emds(edited, truth, unedited, seed)
        worse = made_worse(emds["edited"], emds["unedited"], emds["floor"])
        rows["markers_worse"] = {"edited": float(worse.sum()), "floor": 0.0, "unedited": 0.0}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")


def marker_table(
    edited: FloatArray, truth: FloatArray, unedited: FloatArray | None, markers: Sequence[str], seed: int
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
    edited: Sample, truth: Sample, unedited: Sample | None, markers: Sequence[str], seed: int
) -> pd.DataFrame:
    """Score events marker by marker in each population.

    Columns: population, events_edited, events_truth, then those of ``marker_table``. Only populations with at least
    ``MIN_EVENTS`` events in every dataset are compared; others have one row, without a marker, to show their counts.

    Example:
        >>> cells = np.zeros((60, 1), np.float32)
        >>> one, other = (Sample(name, cells, {"B": cells}, {"B": 500}) for name in ("edited", "truth"))
        >>> table = population_table(one, other, None, ["CD3"], seed=0)
        >>> table[["population", "events_truth", "edited"]].values.tolist()
        [['B', 500, 0.0]]
    """
    tables = []
    for name in sorted({*edited.populations, *truth.populations}):
        counts = {"events_edited": edited.counts.get(name, 0), "events_truth": truth.counts.get(name, 0)}
        drawn = [sample.populations.get(name, ()) for sample in (edited, truth, unedited) if sample]
        if min(map(len, drawn)) < MIN_EVENTS:
            table = pd.DataFrame({"marker": [None]})
        else:
            before = unedited.populations[name] if unedited else None
            table = marker_table(edited.populations[name], truth.populations[name], before, markers, seed)
        tables.append(pd.DataFrame({"population": name, **counts}, index=table.index).join(table))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["population", "marker"])


def _score(
    metric: Metric,
    edited: FloatArray,
    truth: FloatArray,
    unedited: FloatArray | None,
    seed: int,
    smaller_is_better: bool = True,
) -> dict[str, float]:
    """Score edited and unedited events by one metric, against halves of the truth, as the floor is scored."""

    def to_truth(events: FloatArray) -> float:
        return float(np.mean([metric(part, half, seed) for part, half in beside_halves(events, truth, seed)]))

    scores = {"edited": to_truth(edited), "floor": metric(*random_halves(truth, seed), seed)}
    if unedited is not None:
        scores["unedited"] = to_truth(unedited)
        # 1 − R² is left to remove, as a distance is; in the residual the 1 cancels.
        signed = {name: score if smaller_is_better else -score for name, score in scores.items()}
        scores["residual"] = normalised_residual(signed["edited"], signed["floor"], signed["unedited"])
    return scores


def _marker_emds(
    edited: FloatArray, truth: FloatArray, unedited: FloatArray | None, seed: int
) -> dict[str, npt.NDArray[np.float64]]:
    def to_truth(events: FloatArray) -> npt.NDArray[np.float64]:
        return np.mean([emd(part, half) for part, half in beside_halves(events, truth, seed)], axis=0)

    emds = {"edited": to_truth(edited), "floor": emd(*random_halves(truth, seed))}
    return emds if unedited is None else emds | {"unedited": to_truth(unedited)}
