"""Settings of the network that a search tries, the trial of each, and the choice among them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt

from neuronedit.config import Config
from neuronedit.errors import DataError, ModelError
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan

NotNegative = Annotated[float, Field(ge=0)]


class SearchConfig(Config):
    """Settings of the network to try on populations left out of source and target; by default none are tried."""

    hidden: tuple[tuple[PositiveInt, ...], ...] = Field(
        (), description="layers' widths to try, e.g. [[200, 100], [100]]; by default autoencoder.hidden alone"
    )
    code: tuple[PositiveInt, ...] = Field((), description="code sizes to try; by default autoencoder.code alone")
    weight_decay: tuple[NotNegative, ...] = Field((), description="to try; by default training.weight_decay alone")
    noise: tuple[NotNegative, ...] = Field((), description="to try; by default training.noise alone")
    trials: PositiveInt | None = Field(
        None, description="at most so many of all combinations, drawn by training.seed; by default all are tried"
    )

    @property
    def enabled(self) -> bool:
        """Whether there is anything to try."""
        return any((self.hidden, self.code, self.weight_decay, self.noise))


@dataclass(frozen=True)
class SearchSetting:
    """A combination of the network's settings: its layers and its training plan."""

    architecture: Architecture
    training: TrainingPlan

    @property
    def searched(self) -> dict[str, Any]:
        """The settings that a search may vary, by name, as JSON has them."""
        return {
            "hidden": list(self.architecture.hidden),
            "code": self.architecture.code,
            "weight_decay": self.training.weight_decay,
            "noise": self.training.noise,
        }

    def n_weights(self, n_markers: int) -> int:
        """Weights and biases of the network."""
        hidden = self.architecture.hidden
        widths = [n_markers, *hidden, self.architecture.code, *hidden[::-1], n_markers]
        return sum((n_in + 1) * n_out for n_in, n_out in pairwise(widths))

    def __str__(self) -> str:
        hidden = "-".join(map(str, self.architecture.hidden)) or "none"
        return (
            f"hidden {hidden}, code {self.architecture.code}, weight decay {self.training.weight_decay:g}, "
            f"noise {self.training.noise:g}"
        )


def settings(search: SearchConfig, architecture: Architecture, training: TrainingPlan) -> list[SearchSetting]:
    """List the combinations to try, in the order of the grid; other settings are as configured.

    Example:
        >>> found = settings(SearchConfig(code=(10, 20), noise=(0.0, 0.1)), Architecture(), TrainingPlan())
        >>> [(setting.architecture.code, setting.training.noise) for setting in found]
        [(10, 0.0), (10, 0.1), (20, 0.0), (20, 0.1)]
    """
    grid = [
        _setting(architecture, training, *combination)
        for combination in product(
            dict.fromkeys(search.hidden or (architecture.hidden,)),
            dict.fromkeys(search.code or (architecture.code,)),
            dict.fromkeys(search.weight_decay or (training.weight_decay,)),
            dict.fromkeys(search.noise or (training.noise,)),
        )
    ]
    if search.trials is None or search.trials >= len(grid):
        return grid
    drawn = np.random.default_rng(training.seed).permutation(len(grid))[: search.trials]
    return [grid[number] for number in sorted(drawn)]


def _setting(
    architecture: Architecture, training: TrainingPlan, hidden: tuple[int, ...], code: int, decay: float, noise: float
) -> SearchSetting:
    network = architecture.model_copy(update={"hidden": hidden, "code": code})
    return SearchSetting(network, training.model_copy(update={"weight_decay": decay, "noise": noise}))


MIN_ERROR = 0.02
"""Errors below this one are noise and count as equal to it."""

ALIKE = 0.05
"""Errors on populations left out that differ by a smaller share are alike: the smallest such network is taken.

Measured on three edits of real blood, 1,000 events per population: another seed moves an error by 8 % (standard
deviation).
"""


@dataclass(frozen=True)
class SearchTrial:
    """The trial of one setting.

    Attributes:
        setting: The setting that was tried.
        n_weights: Number of weights of its network.
        reconstruction: Mean squared error of the validation events' standardised markers.
        errors: Errors on populations left out, by edit: 0 is noise, 1 doing nothing; NaN if not known.
        failure: The reason for a failure; empty if there was none.
    """

    setting: SearchSetting
    n_weights: int
    reconstruction: float = float("nan")
    errors: Mapping[str, float] | None = None
    failure: str = ""

    @property
    def error(self) -> float:
        """The mean of the edits' known errors; infinite if none is known."""
        known = [error for error in (self.errors or {}).values() if np.isfinite(error)]
        return float(np.mean(known)) if known else float("inf")

    def row(self) -> dict[str, Any]:
        """The trial as a row of a table."""
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
        """The choice and its error beside the others', for a person."""
        best, others = self.best, [trial for trial in self.trials if trial is not self.best and not trial.failure]
        sentence = (
            f"search: chose {best.setting} of {len(self.trials)} trials: error {best.error:.3f} on populations left out"
        )
        if not others:
            return sentence
        rest = sorted(trial.error for trial in others)
        smaller = sum(trial.error < best.error for trial in others)
        than = f"; the other trials have {rest[0]:.3f} to {rest[-1]:.3f}"
        return (
            sentence
            + than
            + (f" ({smaller} of them less, by at most {ALIKE:.0%}, in larger networks)" if smaller else "")
        )

    def table(self) -> pd.DataFrame:
        """A row for each trial: its setting, network, errors."""
        return pd.DataFrame([trial.row() for trial in self.trials])

    def facts(self) -> dict[str, Any]:
        """Describe the search, as JSON has it, for a model's facts."""
        return {
            "chosen": self.best.setting.searched,
            "error": self.best.error,
            "trials": len(self.trials),
            "sentence": self.sentence,
        }
