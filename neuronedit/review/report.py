"""The review: everything that the page shows, as tables and numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuronedit.model import EditModel
from neuronedit.review.transfer import (
    FLOOR,
    HELD_OUT,
    NEURONEDIT,
    NO_EDIT,
    QUANTILE_MAP,
    TRAINING_PAIR,
    Comparison,
    FloatArray,
    Transfer,
    marker_table,
    measure_transfer,
    method_table,
    reconstruction_table,
)

NUMBERS = ("emd", "energy", "r_emd", "r_energy", "markers_worse")


@dataclass(frozen=True)
class Identity:
    """Which model is reviewed, and on what.

    Attributes:
        uri: ``models:/NAME/VERSION``, or a folder.
        digest: SHA-256 of the model.
        data: Where the events are from.
    """

    uri: str
    digest: str
    data: str


@dataclass(frozen=True)
class Review:
    """A reviewed model.

    Attributes:
        model: The model.
        identity: Which one, and on what.
        transfers: Training pairs, then held-out comparisons.
        methods: See ``method_table``.
        markers: See ``marker_table``.
        reconstruction: See ``reconstruction_table``.
        losses: Columns epoch, train_loss, validation_loss; empty where they are not known.
    """

    model: EditModel
    identity: Identity
    transfers: Sequence[Transfer]
    methods: pd.DataFrame
    markers: pd.DataFrame
    reconstruction: pd.DataFrame
    losses: pd.DataFrame

    @property
    def kind(self) -> str:
        """What the verdict rests on: held-out comparisons where there are any, else the training pairs."""
        return HELD_OUT if (self.methods["kind"] == HELD_OUT).any() else TRAINING_PAIR

    def summary(self) -> pd.DataFrame:
        """A row for each method: the mean over the comparisons that the verdict rests on."""
        chosen = self.methods[self.methods["kind"] == self.kind]
        return chosen.groupby("method", sort=False)[list(NUMBERS)].mean()

    def verdict(self) -> str:
        """One sentence: is the edit better than doing nothing, and than the simplest thing?"""
        scores = self._scores()
        on = f"On {len(self._names())} {self.kind} comparison{'s' if len(self._names()) > 1 else ''}"
        edit, nothing, simple = scores[NEURONEDIT], scores[NO_EDIT], scores[QUANTILE_MAP]
        return (
            f"{on}, the edit is {_versus(edit, nothing)} doing nothing and {_versus(edit, simple)} "
            f"a per-marker quantile map (EMD {edit['emd']:.3f}; without edit {nothing['emd']:.3f}, "
            f"quantile map {simple['emd']:.3f}, noise floor {scores[FLOOR]['emd']:.3f})."
        )

    def scalars(self) -> dict[str, float]:
        """Numbers for MLflow's compare view."""
        names = {NEURONEDIT: "", NO_EDIT: "_no_edit", QUANTILE_MAP: "_quantile_map", FLOOR: "_floor"}
        scores, prefix = self._scores(), self.kind.replace("-", "_")
        scalars = {
            f"{prefix}_{number}{suffix}": scores[method][number]
            for method, suffix in names.items()
            for number in (NUMBERS if method == NEURONEDIT else ("emd", "energy"))
        }
        scalars["recon_mse"] = float(self.reconstruction["mse"].mean())
        return {name: value for name, value in scalars.items() if np.isfinite(value)}

    def _scores(self) -> dict[str, dict[str, float]]:
        rows = self.summary().to_dict("index")
        return {str(method): {str(name): float(value) for name, value in row.items()} for method, row in rows.items()}

    def _names(self) -> list[str]:
        return list(self.methods.loc[self.methods["kind"] == self.kind, "comparison"].unique())


def review_model(
    model: EditModel,
    identity: Identity,
    comparisons: Sequence[Comparison],
    populations: Mapping[str, FloatArray],
    losses: pd.DataFrame,
    seed: int = 0,
) -> Review:
    """Measure a model.

    Args:
        model: To be reviewed.
        identity: Which one it is.
        comparisons: Training pairs, and held-out ones where the truth is known.
        populations: Raw intensities, (n_events, n_markers) each, to reconstruct.
        losses: Columns epoch, train_loss, validation_loss; may be empty.
        seed: Halves the truth for the noise floor.
    """
    transfers = [measure_transfer(model, comparison, seed) for comparison in comparisons]
    return Review(
        model,
        identity,
        transfers,
        method_table(transfers),
        marker_table(transfers, model.panel.markers),
        reconstruction_table(model, populations),
        losses,
    )


def _versus(edit: Mapping[str, float], other: Mapping[str, float]) -> str:
    better = [edit[metric] < other[metric] for metric in ("emd", "energy")]
    if all(better):
        return "better than"
    if not any(better):
        return "no better than"
    return f"better in {'EMD' if better[0] else 'energy distance'} only than"
