"""Scores of many tasks in few numbers: means and residuals, intervals, pairs of methods, datasets left out.

``scores`` has a row for each task, seed and method, the noise floor among them (``run.measure_tasks``).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s
from neuronedit.edits.baselines import NO_EDIT, QUANTILE_MAP
from neuronedit.measures.distances import FLOOR, normalised_residual
from neuronedit.measures.halves import N_SPLITS, halved_distances

SCORES = ("emd", "energy")

SPLIT_COLUMNS = {score: f"{score}_splits" for score in SCORES}
"""The columns of each score's lists, one number for each random split."""

INTERVAL = (2.5, 97.5)
"""Percentiles that bound an interval."""

N_BOOTSTRAPS = 10_000

CHOSEN, ALL_DATASETS = "chosen without it", "all"


def by_task(scores: pd.DataFrame, score: str) -> pd.DataFrame:
    """One score's means over seeds: a row for each task, a column for each method, as they come in ``scores``.

    The noise floor is the last. NaN where a method failed in every seed.
    """
    table = scores.pivot_table(index="task", columns="method", values=score, sort=False)
    return table.reindex(columns=methods_of(scores))


def methods_of(scores: pd.DataFrame) -> list[str]:
    """The methods in their order, and the noise floor."""
    return [*(method for method in scores["method"].unique() if method != FLOOR), FLOOR]


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """A row for each method, and the noise floor.

    Columns of the positive ones among the first tasks, and with ``_all`` of all positive tasks: emd and energy, means;
    r_emd and r_energy, normalised residuals of these means; at_least_quantile_map, the share of tasks that are no
    worse than the quantile map in both scores; within_quantile_map, the share that are no worse within the interval
    (``no_worse``). Further columns: negatives_r_emd and negatives_r_energy, the residuals over all negative tasks,
    above 1 where the edit is worse than none; failed, how often (of tasks times seeds) the method gave nothing: its
    means are over the other ones.
    """
    summary = pd.DataFrame(index=pd.Index(methods_of(scores), name="method"))
    positives = scores[scores["transfers"]]
    for suffix, chosen in {"": positives[positives["first"]], "_all": positives}.items():
        for name, column in _of_positives(chosen).items():
            summary[f"{name}{suffix}"] = column
    if not scores["transfers"].all():
        for score in SCORES:
            summary[f"negatives_r_{score}"] = residuals(by_task(scores[~scores["transfers"]], score))
    summary["failed"] = scores["emd"].isna().groupby(scores["method"]).sum()
    return summary


def _of_positives(scores: pd.DataFrame) -> dict[str, pd.Series]:
    columns, strictly = {}, []
    for score in SCORES:
        table = by_task(scores, score)
        columns[score] = table.mean()
        columns[f"r_{score}"] = residuals(table)
        strictly.append(table.le(table[QUANTILE_MAP], axis=0))
    columns["at_least_quantile_map"] = (strictly[0] & strictly[1]).mean()
    columns["within_quantile_map"] = no_worse(scores, QUANTILE_MAP).mean()
    return columns


def residuals(table: pd.DataFrame) -> pd.Series:
    """Normalised residuals of each method's mean over its tasks: (n_tasks, n_methods) → (n_methods,)."""
    return pd.Series({method: _residual(table[table[method].notna()], method) for method in table.columns})


def _residual(table: pd.DataFrame, method: str) -> float:
    means = table.mean()  # of all methods over the tasks that this one has scores for
    return normalised_residual(means[method], means[FLOOR], means[NO_EDIT])


def split_scores(predictions: Mapping[str, Float32s], truth: Float32s, seed: int) -> dict[str, dict[str, list[float]]]:
    """Score each method's events on ``N_SPLITS`` random splits: by method, a list for each of ``SPLIT_COLUMNS``.

    A split halves the events and the truth at random; half is compared with half, equally many of each, and the mean
    of both pairs taken. All methods, whose events are the same in the same order, are scored on the same splits: a
    method is compared with another by their differences, split by split. Scores of events that are not finite are NaN.

    Args:
        predictions: (n_events, n_markers) each, by method.
        truth: (n_truth, n_markers).
        seed: Draws the splits.
    """
    finite = {method: events for method, events in predictions.items() if np.isfinite(events).all()}
    scored: dict[str, dict[str, list[float]]] = {
        method: {column: [np.nan] * N_SPLITS for column in SPLIT_COLUMNS.values()} for method in predictions
    }
    for method, halves in halved_distances(finite, truth, seed).items() if finite else ():
        if method != FLOOR:
            splits = {score: values.reshape(N_SPLITS, 2).mean(axis=1) for score, values in halves.scores.items()}
            scored[method] = {column: splits[score].tolist() for score, column in SPLIT_COLUMNS.items()}
    return scored


def no_worse(scores: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Whether each method is no worse than a baseline, within the interval: a row for each task, bool by method.

    The rule: on each of ``N_SPLITS`` random splits of events and truth (``split_scores``) the method's score less the
    baseline's is taken, its mean over seeds; the method is worse in that score if the ``INTERVAL`` of these
    differences lies above 0. It is no worse on the task if it is worse in neither score. A method that failed is worse.
    """
    worse = [_least_differences(scores, baseline, score).gt(0) for score in SCORES]
    failed = by_task(scores, "emd").isna()
    return ~(worse[0] | worse[1] | failed)


def _least_differences(scores: pd.DataFrame, baseline: str, score: str) -> pd.DataFrame:
    """The lower end of the interval of differences from the baseline: a row for each task, a column for each method."""
    long = scores[["task", "seed", "method", SPLIT_COLUMNS[score]]].explode(SPLIT_COLUMNS[score])
    long["split"] = long.groupby(["task", "seed", "method"]).cumcount()
    splits = long.pivot(index=["task", "seed", "split"], columns="method", values=SPLIT_COLUMNS[score]).astype(float)
    differences = splits.sub(splits[baseline], axis=0).groupby(["task", "split"], sort=False).mean()
    lowest = differences.groupby("task", sort=False).quantile(INTERVAL[0] / 100)
    return lowest.reindex(index=scores["task"].unique(), columns=methods_of(scores))


def compare(scores: pd.DataFrame, method: str, other: str, seed: int = 0) -> pd.DataFrame:
    """Compare two methods on the positive tasks, task by task and seed by seed: a row for each score.

    Columns: method, other; r_method and r_other, normalised residuals of means over tasks; difference, the first less
    the second: below 0 the method is ahead; low and high, the ``INTERVAL`` of that difference over ``N_BOOTSTRAPS``
    draws of as many tasks, with replacement; share_ahead, of the tasks on which the method's mean over seeds is less.
    A task and seed on which one of them failed is left out.

    Args:
        scores: Of all methods.
        method: Its name.
        other: The name of the method that it is compared with.
        seed: Draws the tasks.
    """
    rows = []
    for score in SCORES:
        positives = scores[scores["transfers"]]
        table = positives.pivot(index=["task", "seed"], columns="method", values=score).dropna(subset=[method, other])
        table = table.groupby("task", sort=False).mean()
        drawn = np.random.default_rng(seed).integers(len(table), size=(N_BOOTSTRAPS, len(table)))
        gained = (table[method] - table[other]).to_numpy()
        to_correct = (table[NO_EDIT] - table[FLOOR]).to_numpy()
        low, high = np.percentile(gained[drawn].sum(axis=1) / to_correct[drawn].sum(axis=1), INTERVAL)
        rows.append(
            {
                "score": score,
                "method": method,
                "other": other,
                "r_method": _residual(table, method),
                "r_other": _residual(table, other),
                "difference": gained.sum() / to_correct.sum(),
                "low": low,
                "high": high,
                "share_ahead": float((gained < 0).mean()),
            }
        )
    return pd.DataFrame(rows).set_index("score")


def choose_without(scores: pd.DataFrame, plans: Sequence[str], beside: Sequence[str]) -> pd.DataFrame:
    """Choose among plans with each dataset left out whole, and score the choice there: a row for each dataset.

    The chosen plan has the least mean of both residuals over the positive tasks of the other datasets. Columns:
    tasks, their number; chosen, the plan; best, the plan that would have been best there; r_emd and r_energy of the
    choice; then those of the methods ``beside``, with their names. The last row, ``ALL_DATASETS``, has every task
    by the plan that was chosen without its dataset.

    Args:
        scores: Of all methods, of two datasets at least.
        plans: To choose from.
        beside: Methods to be shown beside the choice.
    """
    positives = scores[scores["transfers"]]
    groups = {str(dataset): positives[positives["dataset"] == dataset] for dataset in positives["dataset"].unique()}
    choices = {dataset: _best(positives[positives["dataset"] != dataset], plans) for dataset in groups}
    as_chosen = {
        dataset: pd.concat([group, group[group["method"] == choices[dataset]].assign(method=CHOSEN)])
        for dataset, group in groups.items()
    }
    as_chosen[ALL_DATASETS] = pd.concat(as_chosen.values())
    rows = {
        dataset: {
            "tasks": group["task"].nunique(),
            "chosen": choices.get(dataset, ""),
            "best": _best(group, plans),
            **_residuals_of(group, {CHOSEN: "", **{name: f": {name}" for name in beside}}),
        }
        for dataset, group in as_chosen.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("left out")


def _best(scores: pd.DataFrame, plans: Sequence[str]) -> str:
    both = pd.DataFrame({score: residuals(by_task(scores, score)) for score in SCORES})
    return str(both.loc[[*plans]].mean(axis=1).idxmin())


def _residuals_of(scores: pd.DataFrame, suffixes: Mapping[str, str]) -> dict[str, float]:
    found = {score: residuals(by_task(scores, score)) for score in SCORES}
    return {f"r_{score}{suffix}": float(found[score][name]) for name, suffix in suffixes.items() for score in SCORES}
