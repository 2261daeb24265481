"""The model: panel, scaling, autoencoder and edits, which mean something only together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from neuronedit.autoencoder import Autoencoder
from neuronedit.design import PAIR_EDIT, POOLED, ControlsDesign, Design, EditPair
from neuronedit.edit import Edit, EditStep, fit_edit
from neuronedit.errors import DataError, ModelError, listing, nearest_name
from neuronedit.panel import Panel
from neuronedit.percentiles import N_PERCENTILES
from neuronedit.scaling import FloatArray, Scaling

UnknownBatch = Literal["error", "pass"]

EDITED, REFERENCE, UNKNOWN = "edited", "reference", "unknown batch"


@dataclass(frozen=True)
class EditModel:
    """Everything that an edit needs, to be saved, versioned and reviewed as one artefact.

    Attributes:
        panel: The markers that the model sees, in order.
        scaling: From raw intensities to what the autoencoder sees.
        autoencoder: Trained weights.
        edits: By name: the batch that each leads to the reference, or ``pair``.
        design: How populations were chosen; it says which edit an event gets.
        facts: What else the record needs: event counts, seed, whether X was seen in training, versions.
    """

    panel: Panel
    scaling: Scaling
    autoencoder: Autoencoder
    edits: Mapping[str, Edit]
    design: Design
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def batch_column(self) -> str | None:
        """The column that says which edit an event gets; None where all events get the same."""
        return self.design.batch_column if isinstance(self.design, ControlsDesign) else None

    @property
    def reference(self) -> str | None:
        """The batch whose events stay as they are; None where there is none."""
        if isinstance(self.design, ControlsDesign) and self.design.reference != POOLED:
            return self.design.reference
        return None

    def standardised(self, intensities: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Raw intensities (n_events, n_markers) → what the autoencoder sees, float32."""
        return self.scaling.standardise(self.scaling.arcsinh(intensities))

    def reconstruct(self, intensities: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """The autoencoder's output for raw intensities (n_events, n_markers), standardised, float32."""
        with torch.inference_mode():
            output: npt.NDArray[np.float32] = self.autoencoder(torch.from_numpy(self.standardised(intensities))).numpy()
            return output

    def apply(self, intensities: FloatArray, edit: str) -> FloatArray:
        """Apply one edit to raw intensities: (n_events, n_markers) → the same shape and dtype.

        A value that the edit does not move is returned bit for bit.

        Whole-number intensities are rounded.

        Raises:
            ModelError: There is no such edit, or the shape is not the panel's.
            DataError: A value is not finite: through the network it would spoil its event's other markers too.
        """
        if edit not in self.edits:
            raise ModelError(
                f"The model has no edit {edit!r} (edits: {listing(self.edits)}{nearest_name(edit, self.edits)})."
            )
        if intensities.shape[1:] != (self.panel.n_markers,):
            raise ModelError(
                f"Intensities have shape {intensities.shape}; expected (n_events, {self.panel.n_markers}): "
                f"the panel's {self.panel.n_markers} markers in its order."
            )
        arcsinh = self.scaling.arcsinh(intensities)
        self._check_finite(arcsinh)
        before = self.scaling.standardise(arcsinh)
        after = self.edits[edit].apply(self.autoencoder, before)
        moved = arcsinh + (after - before) * self.scaling.spreads
        edited = np.where(after == before, intensities, self.scaling.intensities(moved))
        if np.issubdtype(intensities.dtype, np.integer):
            edited = np.rint(edited)
        return edited.astype(intensities.dtype, copy=False)

    def transform(
        self,
        intensities: FloatArray,
        batch_ids: Sequence[object] | npt.NDArray[Any] | None,
        unknown_batch: UnknownBatch = "error",
        where: str = "events",
    ) -> tuple[FloatArray, npt.NDArray[np.object_]]:
        """Give each event the edit of its batch.

        Args:
            intensities: (n_events, n_markers) raw intensities in the panel's order.
            batch_ids: (n_events,) values of the batch column; None for a pair design.
            unknown_batch: ``error``, or ``pass`` to leave events of unknown batches as they are.
            where: What the events are from, for the message.

        Returns:
            The intensities, same shape and dtype, and (n_events,) what was done to each event:
            ``edited``, ``reference`` or ``unknown batch``.

        Raises:
            ModelError: A batch is unknown, or the batches are not given where the design needs them.
        """
        if self.batch_column is None:
            return self.apply(intensities, PAIR_EDIT), np.full(len(intensities), EDITED, dtype=object)
        if batch_ids is None:
            raise ModelError(f"{where}: the model needs the column {self.batch_column!r} to choose each event's edit.")
        codes, values = pd.factorize(np.asarray(batch_ids, dtype=object))  # a missing value has the code -1
        edited, done = intensities.copy(), np.full(len(intensities), EDITED, dtype=object)
        for code in np.unique(codes):
            chosen, batch = codes == code, "" if code < 0 else str(values[code])
            if batch in self.edits:
                edited[chosen] = self.apply(intensities[chosen], batch)
            elif batch == self.reference:
                done[chosen] = REFERENCE
            elif unknown_batch == "pass":
                done[chosen] = UNKNOWN
            else:
                raise ModelError(self._unknown_batch_message(batch, where))
        return edited, done

    def _check_finite(self, arcsinh: FloatArray) -> None:
        n_wrong = (~np.isfinite(arcsinh)).sum(axis=0)
        if n_wrong.any():
            marker = self.panel.markers[int(n_wrong.argmax())]
            raise DataError(
                f"Marker {marker!r} has {n_wrong.max()} values that are not finite float32 numbers, of {len(arcsinh)}. "
                "Leave these events out, or fill the values."
            )

    def _unknown_batch_message(self, batch: str, where: str) -> str:
        known = [*self.edits, *([self.reference] if self.reference else [])]
        found = f"{self.batch_column!r} is {batch!r}" if batch else f"{self.batch_column!r} has no value"
        return (
            f"{where}: {found}, a batch that the model does not know "
            f"(known: {listing(known)}{nearest_name(batch, known)}). Train with this batch's control, "
            'or set unknown_batch = "pass" to leave its events as they are, flagged.'
        )


def fit_edits(
    autoencoder: Autoencoder,
    populations: Mapping[str, npt.NDArray[np.float32]],
    pairs: Sequence[EditPair],
    plan: Sequence[EditStep],
    *,
    n_percentiles: int = N_PERCENTILES,
    seed: int = 0,
) -> dict[str, Edit]:
    """Fit every pair's edit on standardised populations, (n_events, n_markers) float32 each."""
    return {
        pair.name: fit_edit(
            pair.name,
            autoencoder,
            plan,
            pool_equally([populations[name] for name in pair.source]),
            pool_equally([populations[name] for name in pair.target]),
            n_percentiles=n_percentiles,
            seed=seed,
        )
        for pair in pairs
    }


def pool_equally(populations: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Populations one after another, smaller ones repeated so that each weighs the same (to within one round)."""
    largest = max(len(population) for population in populations)
    return np.concatenate([population[np.arange(largest) % len(population)] for population in populations])
