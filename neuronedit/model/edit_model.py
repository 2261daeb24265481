"""The model: panel, scaling, autoencoders and edits as one artefact."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from neuronedit.arrays import Float32s, Floats, pickled_fields
from neuronedit.cells.design import INVERSE, PAIR_EDIT, POOLED, ControlsDesign, Design
from neuronedit.cells.events import check_edited
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import Scaling
from neuronedit.edits.edit import Edit
from neuronedit.edits.learnable import by_marker
from neuronedit.edits.students.student import Server
from neuronedit.errors import DataError, ModelError, listing, nearest_name
from neuronedit.model.pipeline.columns import NotFiniteError, Traced
from neuronedit.model.pipeline.device import found_device
from neuronedit.model.pipeline.passage import Pipeline, PipelineResult
from neuronedit.model.route import (
    BATCHES_OWN,
    EDITED,
    NO_EFFECT,
    REFERENCE,
    UNKNOWN,
    Observer,
    Route,
    Transformed,
    same_outcome,
)
from neuronedit.network.autoencoder import Autoencoder


@dataclass(frozen=True)
class EditModel:
    """All that an edit needs, saved, versioned and reviewed as one artefact.

    Example:
        A treatment that adds 1 to the last of three markers, arcsinh units of cofactor 5:

        >>> import numpy as np
        >>> from neuronedit.model.example import example_cells, example_model
        >>> model, cells = example_model(), example_cells()
        >>> (np.arcsinh(model.apply(cells, "pair") / 5) - np.arcsinh(cells / 5)).mean(axis=0).round(1).tolist()
        [0.0, 0.0, 1.0]
        >>> (model.apply(cells, "pair", strength=0.0) == cells).all(), model.transform(cells, None).outcomes[0]
        (np.True_, 'edited')
        >>> model.reconstruct(cells).shape, model.to("cpu").device
        ((400, 3), 'cpu')

    Attributes:
        panel: The markers that the model sees, in order.
        scaling: Leads raw intensities to the markers that the autoencoder sees.
        autoencoders: Trained weights; several are an ensemble, whose changes are averaged.
        edits: By name: the batch that each leads to the reference, or ``pair``; inverses beside them.
        design: The choice of populations; it says which edit an event gets.
        facts: Further facts for the record: event counts, seed, whether X was seen in training, versions.
        device: The device of ``apply`` and ``transform``, see ``to``.
    """

    panel: Panel
    scaling: Scaling
    autoencoders: tuple[Autoencoder, ...]
    edits: Mapping[str, Edit]
    design: Design
    facts: Mapping[str, Any] = field(default_factory=dict)
    device: str = field(default="cpu", compare=False)

    def to(self, device: str) -> Self:
        """Give the same model, whose ``apply`` and ``transform`` compute on a device of torch.

        A GPU's results are the processor's to float32's rounding, but depend in their last bits on which events are
        given together. Weights and edits are taken to the device (``cpu``, ``cuda``, ``cuda:1``) at their first use.

        Raises:
            ModelError: There is no such device.
        """
        found_device(device)
        return replace(self, device=device)

    def served_by(self, server: Server) -> Self:
        """Give the same model, whose edits are made by their students, where they have any, or by their teachers.

        A model that is saved then has no students.
        """
        if server == "student":
            return self
        return replace(self, edits={name: replace(edit, student=None) for name, edit in self.edits.items()})

    @property
    def autoencoder(self) -> Autoencoder:
        """The first of the autoencoders."""
        return self.autoencoders[0]

    @property
    def batch_column(self) -> str | None:
        """The column that chooses an event's edit; None where all events get the same."""
        return self.design.batch_column if isinstance(self.design, ControlsDesign) else None

    @property
    def reference(self) -> str | None:
        """The batch whose events stay as they are; None where there is none."""
        reference = self.design.reference if isinstance(self.design, ControlsDesign) else POOLED
        return None if reference == POOLED else reference

    @property
    def unlearnable(self) -> dict[str, dict[str, str]]:
        """Each edit's markers that it was to move and cannot learn, with the reasons; edits without any left out."""
        names = self.panel.markers
        found = {name: by_marker(edit.unlearnable, names, edit.unmoved) for name, edit in self.edits.items()}
        return {name: markers for name, markers in found.items() if markers}

    @property
    def unmoved(self) -> dict[str, tuple[str, ...]]:
        """Each edit's markers that the user does not want to be moved; edits that may move all are left out."""
        found = {name: edit.unmoved for name, edit in self.edits.items() if edit.unmoved}
        return {name: tuple(self.panel.markers[column] for column in columns) for name, columns in found.items()}

    def standardised(self, intensities: npt.ArrayLike) -> Float32s:
        """Transform and standardise raw intensities, (n_events, n_markers), as the autoencoder sees them, float32."""
        return self.scaling.standardise(self.scaling.transform(intensities))

    def reconstruct(self, intensities: npt.ArrayLike) -> Float32s:
        """Encode and decode raw intensities, (n_events, n_markers), without an edit → standardised, float32."""
        with torch.inference_mode():
            return cast(Float32s, self.autoencoder(torch.from_numpy(self.standardised(intensities))).numpy())

    def apply(self, intensities: Floats, edit: str | Sequence[str], strength: float = 1.0) -> Floats:
        """Apply one edit, or several one after another, to raw intensities: (n_events, n_markers) → the same.

        A value that the edit does not move is returned bit for bit. Whole-number intensities are rounded.

        Args:
            intensities: (n_events, n_markers) in the panel's order.
            edit: An edit's name, or several, which lead from A to B to C.
            strength: The share of each edit's change that is made.

        Raises:
            ModelError: There is no such edit, or the shape is not the panel's.
            DataError: A value is not finite: through the network it would spoil its event's other markers too.
        """
        names = [edit] if isinstance(edit, str) else edit
        edited = self._take(names, np.asarray(intensities), Route(strength=strength)).intensities
        check_edited(edited, self.panel.markers, "events")
        return edited

    def get_edit(self, name: str) -> Edit:
        """Find the edit of that name.

        Raises:
            ModelError: There is no such edit.
        """
        if name not in self.edits:
            raise ModelError(
                f"The model has no edit {name!r} (edits: {listing(self.edits)}{nearest_name(name, self.edits)})."
            )
        return self.edits[name]

    def transform(
        self,
        intensities: Floats,
        batch_ids: Sequence[object] | npt.NDArray[Any] | None,
        route: Route = BATCHES_OWN,
        where: str = "events",
        observe: Observer | None = None,
        *,
        overwrite: bool = False,
    ) -> Transformed:
        """Apply to each event the edit of its batch, or the edits that the route names.

        Args:
            intensities: (n_events, n_markers) raw intensities in the panel's order.
            batch_ids: (n_events,) values of the batch column; None where the batch does not choose the edit.
            route: The edits, their strength, and the treatment of unknown batches.
            where: The events' place, for the message.
            observe: Called with each group of events that had the same edits.
            overwrite: Write the result over the given intensities: millions of events take less time so. After an
                error what is in them means nothing.

        Raises:
            ModelError: A batch or an edit is unknown, or the batches are not given where the design needs them.
            DataError: A value that is edited is not finite, or (``EditedError``) becomes so.
        """
        intensities = np.asarray(intensities)  # a subclass, such as AnnData's views are, may do otherwise
        idle = {name for name, edit in self.edits.items() if not edit.members}
        if names := route.edits or ((PAIR_EDIT,) if self.batch_column is None else ()):
            traced = partial(observe, " → ".join(names)) if observe else None
            passed = self._take(names, intensities, route, traced, overwrite=overwrite)
            check_edited(passed.intensities, self.panel.markers, where)
            outcomes = same_outcome(len(intensities), NO_EFFECT if idle.issuperset(names) else EDITED)
            return Transformed(passed.intensities, outcomes, passed.support)
        if batch_ids is None:
            raise ModelError(f"{where}: the model needs the column {self.batch_column!r} to choose each event's edit.")
        support = np.full(len(intensities), np.nan, dtype=np.float32) if route.support else None
        edited = intensities if overwrite else intensities.copy(order="K")
        outcomes = same_outcome(len(intensities), EDITED)
        codes, values = pd.factorize(np.asarray(batch_ids, dtype=object))  # a missing value has the code -1
        for code in np.unique(codes):
            of_batch, batch = codes == code, "" if code < 0 else str(values[code])
            all_are = bool(of_batch.all())
            chosen = slice(None) if all_are else of_batch  # a slice copies nothing
            if batch in self.edits and batch != self.reference:
                traced = partial(observe, batch) if observe else None
                passed = self._take((batch,), edited[chosen], route, traced, overwrite=True)
                if not all_are:
                    edited[chosen] = passed.intensities
                outcomes[chosen] = NO_EFFECT if batch in idle else EDITED
                if support is not None:
                    support[chosen] = passed.support
            elif batch == self.reference or route.unknown_batch == "pass":
                outcomes[chosen] = REFERENCE if batch == self.reference else UNKNOWN
                if observe:
                    standardised = self.standardised(intensities[chosen])
                    observe(batch, standardised, standardised, None)
            else:
                raise ModelError(self._unknown_batch_message(batch, where))
        check_edited(edited, self.panel.markers, where)
        return Transformed(edited, outcomes, support)

    @cached_property
    def _networks(self) -> tuple[Autoencoder, ...]:
        """The autoencoders on the device."""
        if self.device == "cpu":
            return self.autoencoders
        return tuple(deepcopy(autoencoder).to(self.device) for autoencoder in self.autoencoders)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the fields alone: copies on a device are made again by the receiver."""
        return pickled_fields(self)

    def _take(
        self,
        names: Sequence[str],
        intensities: Floats,
        route: Route,
        traced: Traced | None = None,
        *,
        overwrite: bool = False,
    ) -> PipelineResult:
        n_markers, device = self.panel.n_markers, found_device(self.device)
        if intensities.shape[1:] != (n_markers,):
            raise ModelError(f"Intensities have shape {intensities.shape}; expected (n_events, {n_markers}).")
        edits = tuple(self.get_edit(name) for name in names)
        pipeline = Pipeline(self.scaling, self._networks, edits, route.strength, route.support, traced, device)
        try:
            return pipeline.run(intensities, overwrite=overwrite)
        except NotFiniteError:
            self._check_finite(self.scaling.transform(intensities))  # names the marker, and counts all such values
            raise

    def _check_finite(self, transformed: Floats) -> None:
        n_wrong = (~np.isfinite(transformed)).sum(axis=0)
        if n_wrong.any():
            marker = self.panel.markers[int(n_wrong.argmax())]
            raise DataError(
                f"Marker {marker!r} has {n_wrong.max()} values that are not finite float32 numbers, of "
                f"{len(transformed)}. Leave these events out, or fill the values."
            )

    def _unknown_batch_message(self, batch: str, where: str) -> str:
        known = [name for name in (*self.edits, self.reference) if name and not name.endswith(INVERSE)]
        found = f"{self.batch_column!r} is {batch!r}" if batch else f"{self.batch_column!r} has no value"
        return (
            f"{where}: {found}, a batch that the model does not know "
            f"(known: {listing(known)}{nearest_name(batch, known)}). Train with this batch's control, "
            'or set unknown_batch = "pass" to leave its events as they are, flagged.'
        )
