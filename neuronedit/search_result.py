"""What a search has found: a trial for each setting, and the choice among them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from neuronedit.auto import MIN_ERROR
from neuronedit.errors import DataError, ModelError
from neuronedit.search_setting import SearchSetting

ALIKE = 0.05
"""Errors on populations left out that differ by a smaller share are alike: the smallest such network is taken.

Measured on three edits of real blood, 1,000 events per population: another seed moves an error by 8 % (standard
deviation).
"""


@dataclass(frozen=True)
class SearchTrial:
    """What one setting gave.

    Attributes:
        setting: Tried.
        n_weights: Of its network.
        reconstruction: Mean squared error of the validation events' standardised markers.
        errors: By edit, on populations left out: 0 is noise, 1 doing nothing; NaN where that is not known.
        failure: Why there is nothing, or empty.
    """

    setting: SearchSetting
    n_weights: int
    reconstruction: float = float("nan")
    errors: Mapping[str, float] | None = None
    failure: str = ""

    @property
    def error(self) -> float:
        """The mean over the edits for which it is known; infinite where there is none."""
        known = [error for error in (self.errors or {}).values() if np.isfinite(error)]
        return float(np.mean(known)) if known else float("inf")

    def row(self) -> dict[str, Any]:
        """As a row of a table."""
        setting = self.setting.searched | {"hidden": "-".join(map(str, self.setting.architecture.hidden))}
        by_edit = {f"error {edit}": error for edit, error in (self.errors or {}).items()}
        found = {"n_weights": self.n_weights, "reconstruction": self.reconstruction, "error": self.error}
        return {**setting, **found, **by_edit, "failure": self.failure}


@dataclass(frozen=True)
class SearchResult:
    """All trials, in the order of the grid.

    Raises:
        DataError: No trial has an error: source and target do not differ.
        ModelError: All trials failed.
    """

    trials: tuple[SearchTrial, ...]

    def __post_init__(self) -> None:
        if all(trial.failure for trial in self.trials):
            raise ModelError(f"search: all {len(self.trials)} trials failed. {self.trials[0].failure}")
        if not np.isfinite([trial.error for trial in self.trials]).any():
            raise DataError(
                "search: no trial's error on populations left out is known: there source and target are no further "
                "apart than halves of the target. Expected an effect to choose by: correct the design, or remove "
                "[search]."
            )

    @property
    def best(self) -> SearchTrial:
        """The smallest network among those whose error is as low as any, to within ``ALIKE``."""
        least = max(min(trial.error for trial in self.trials), MIN_ERROR)
        alike = [trial for trial in self.trials if trial.error <= least * (1 + ALIKE)]
        return min(alike, key=lambda trial: (trial.n_weights, trial.error))

    @property
    def sentence(self) -> str:
        """What was chosen, and by how much."""
        best, others = self.best, [trial for trial in self.trials if trial is not self.best and not trial.failure]
        said = (
            f"search: chose {best.setting} of {len(self.trials)} trials: error {best.error:.3f} on populations left out"
        )
        if not others:
            return said
        rest = sorted(trial.error for trial in others)
        smaller = sum(trial.error < best.error for trial in others)
        than = f"; the other trials have {rest[0]:.3f} to {rest[-1]:.3f}"
        return (
            said + than + (f" ({smaller} of them less, by at most {ALIKE:.0%}, in larger networks)" if smaller else "")
        )

    def table(self) -> pd.DataFrame:
        """A row for each trial: its setting, network, errors."""
        return pd.DataFrame([trial.row() for trial in self.trials])

    def facts(self) -> dict[str, Any]:
        """What a model's facts say of it, as JSON has it."""
        return {
            "chosen": self.best.setting.searched,
            "error": self.best.error,
            "trials": len(self.trials),
            "sentence": self.sentence,
        }
