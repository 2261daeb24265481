"""The edit from source to target: a plan's steps, fitted for each network, and the mean of their changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from neuronedit.arrays import Float32s
from neuronedit.edits.learnable import hidden_columns, hide, hide_tensor, with_columns
from neuronedit.edits.left_out import LeftOutErrors, measure_errors
from neuronedit.edits.operators.percentiles import percentiles
from neuronedit.edits.operators.table import Fitting
from neuronedit.edits.plans import BeyondSupport, Plan
from neuronedit.edits.spikes import Spikes
from neuronedit.edits.steps import Member, fit_steps
from neuronedit.edits.students.fidelity import Fidelity
from neuronedit.edits.students.student import Server, Student
from neuronedit.edits.support import Support, shrink
from neuronedit.errors import ModelError
from neuronedit.network.autoencoder import Autoencoder
from neuronedit.network.chunks import Activations, in_chunks


@dataclass(frozen=True)
class Edit:
    """A fitted transformation source → target; it means nothing for another autoencoder's weights.

    Attributes:
        name: The batch that it leads to the reference, or ``pair``; an inverse has a name of its own.
        members: Empty where doing nothing does better, or no marker can be learned.
        spikes: The mass at exact zero, which keeps its rank.
        support: Which events the source has anything like.
        target_percentiles: (n_percentiles, n_markers) float32, of the target as measured, standardised.
        shrinks: The change shrinks to nothing beyond the support.
        errors: On events left out of source and target; None where they were not measured.
        unlearnable: Columns of markers that stay as they are, each with the reason (see ``learnable``).
        unmoved: Columns of markers that stay as they are, too, but tell the edit an event's kind.
        student: Makes the members' change; None where they make it themselves.
        fidelity: How near a student came to the members; None where none was made.
    """

    name: str
    members: tuple[Member, ...]
    spikes: Spikes
    support: Support
    target_percentiles: Float32s
    shrinks: bool = False
    errors: LeftOutErrors | None = None
    unlearnable: Mapping[int, str] = field(default_factory=dict)
    unmoved: tuple[int, ...] = ()
    student: Student | None = None
    fidelity: Fidelity | None = None

    @property
    def summary(self) -> str:
        """Name the plans and say how far the change carries over, as far as that was measured."""
        if not self.members:
            if self.errors is None:
                of_named = " of those that edit.markers names" if self.unmoved else ""
                return f"no edit: no marker{of_named} can be learned"
            more = "; more events would tell more" if self.errors.alike else ""
            applied = "a plan given by name (edit.preset) is applied in any case"
            return f"no edit: {self.errors.nothing_to_learn}{more}; {applied}"
        weights = self._weights
        plans = [f"{plan} {weight:.0%}" if len(weights) > 1 else plan for plan, weight in weights.items()]
        if self.errors is None:
            return ", ".join(plans)
        beyond = "shrinks to nothing" if self.shrinks else "stays"
        return f"{', '.join(plans)}; {self.errors.sentence}; beyond its support the change {beyond}"

    @property
    def server(self) -> Server | None:
        """Who makes the change: a student, else the members, its teacher; None where there are none."""
        if not self.members:
            return None
        return "student" if self.student else "teacher"

    @property
    def plan(self) -> Plan:
        """The steps that the edit was fitted by, none if it does nothing; of an older model's plans the heaviest's."""
        if not self.members:
            return ()
        weights = self._weights
        heaviest = max(self.members, key=lambda member: weights[member.plan])
        return tuple(step.plan for step in heaviest.steps)

    @property
    def _weights(self) -> dict[str, float]:
        weights: dict[str, float] = {}
        for member in self.members:
            weights[member.plan] = weights.get(member.plan, 0.0) + member.weight
        return weights

    def as_measured(self, beyond_support: BeyondSupport) -> "Edit":
        """Do nothing where that does better on events left out; shrink beyond the support, as asked or as measured.

        Args:
            beyond_support: ``measured``: the change shrinks where it did not carry over to kinds of cell left out, or
                no stratum was large enough to see.
        """
        if self.errors is None:
            return self
        shrinks = beyond_support == "shrink" or (beyond_support == "measured" and not self.errors.carries_over)
        return replace(self, members=() if self.errors.nothing_to_learn else self.members, shrinks=shrinks)

    def expected_error(self, unsupported: float = 0.0) -> float:
        """Expect an error, before any truth is seen: 0 is noise, 1 is doing nothing, NaN where it was not measured.

        Args:
            unsupported: The share, 0 … 1, of the events to be edited that is unlike those that the edit was fitted on.
        """
        if not self.members:
            return 1.0
        if self.errors is None:
            return float("nan")
        beyond = 1.0 if self.shrinks else self.errors.left_out
        parts = ((1 - unsupported, self.errors.within), (unsupported, beyond))
        return sum(share * error for share, error in parts if share > 0)

    def apply(self, autoencoders: Sequence[Autoencoder], markers: Float32s, strength: float = 1.0) -> Float32s:
        """Edit standardised markers: (n_events, n_markers) → (n_events, n_markers) float32.

        Args:
            autoencoders: The model's.
            markers: (n_events, n_markers).
            strength: Of the whole change, 1; 0 changes nothing.
        """
        if not self.members:
            return markers
        return in_chunks(lambda events: self.change(autoencoders, events, strength), markers)

    def change(
        self,
        autoencoders: Sequence[Autoencoder],
        markers: Tensor,
        strength: float = 1.0,
        scores: Tensor | None = None,
    ) -> Tensor:
        """Edit one chunk: (n_events, n_markers) → (n_events, n_markers) float32.

        Args:
            autoencoders: The model's, on the events' device.
            markers: (n_events, n_markers) float32, standardised.
            strength: Of the whole change, 1; 0 changes nothing.
            scores: (n_events,) support scores if already computed, else they are computed here.
        """
        if not self.members:
            return markers
        seen = hide_tensor(markers, self.support.hidden)
        spread = self.spikes.spread(seen)
        edited = self.spikes.gather(self._blended(autoencoders, spread), spread, seen)
        if strength != 1 or self.shrinks:
            kept = seen.new_full((len(seen), 1), strength)
            if self.shrinks:
                kept = kept * shrink(self.support.scores(seen) if scores is None else scores)[:, None]
            # Where the whole change is made, its bits are kept.
            edited = torch.where(kept == 1, edited, seen + kept * (edited - seen))
        return with_columns(edited, {*self.unlearnable, *self.unmoved}, markers)

    def _blended(self, autoencoders: Sequence[Autoencoder], markers: Tensor) -> Tensor:
        if self.student:
            return self.student.change(markers).add_(markers)
        start = Activations(markers)  # one for all members: what networks make of the unedited events is computed once
        if len(self.members) == 1:
            return self.members[0].change(autoencoders, start)
        change = torch.zeros_like(markers)
        for member in self.members:
            change += member.weight * (member.change(autoencoders, start) - markers)
        return markers + change


def fit_edit(
    name: str,
    autoencoders: Sequence[Autoencoder],
    plan: Plan,
    source: Float32s,
    target: Float32s,
    *,
    zeros: Float32s,
    fitting: Fitting | None = None,
    shrinks: bool = False,
    measured: bool = False,
    unlearnable: Mapping[int, str] | None = None,
) -> Edit:
    """Fit an edit: the steps of its plan for each network, support and spikes.

    Args:
        name: The edit's name.
        autoencoders: Trained; frozen from here on. A plan that edits neurons is fitted for each, and the mean taken.
        plan: The steps.
        source: (n_events, n_markers) float32, standardised.
        target: (n_events, n_markers) float32, standardised.
        zeros: (n_markers,) zero intensity, standardised.
        fitting: How each plan is fitted, and the markers that the edit does not move.
        shrinks: The change shrinks to nothing on events unlike any of the source's.
        measured: Measure the plan's errors on events left out, with the first network alone.
        unlearnable: Columns of markers that stay as they are, and that nothing else is learned from, with the reasons.

    Raises:
        ConfigError: A step names a layer that the autoencoder does not have.
        DataError: The source has fewer than two different events.
        ModelError: A step could not be fitted, or all are for more events.

    Example:
        >>> import numpy as np
        >>> from neuronedit.edits.plans import PRESETS
        >>> from neuronedit.network.autoencoder import Architecture
        >>> networks, cells = (Autoencoder(1, Architecture()),), np.linspace(0, 1, 200, dtype=np.float32)[:, None]
        >>> edit = fit_edit("pair", networks, PRESETS["quantile-map"], cells, cells + 2, zeros=np.zeros(1, np.float32))
        >>> bool(np.allclose(edit.apply(networks, cells), cells + 2))
        True
    """
    fitting, unlearnable = fitting or Fitting(), dict(unlearnable or {})
    unmoved = fitting.unmoved
    hidden = hidden_columns(unlearnable, len(zeros))
    target_percentiles = percentiles(target, weights=fitting.target_weights)  # as measured, hidden or not
    support = Support.fit(source, target, fitting.seed, hidden)
    if len({*unlearnable, *unmoved}) == len(zeros):
        nothing = Spikes.none(len(zeros))
        return Edit(name, (), nothing, support, target_percentiles, unlearnable=unlearnable, unmoved=unmoved)
    source, target = hide(source, hidden), hide(target, hidden)
    fitting = replace(fitting, unmoved=tuple(sorted({*unmoved, *unlearnable})))
    # The paper takes the decoder's output, zeros and all.
    residual = all(step.form == "residual" for step in plan)
    spikes = Spikes.find(source, target, zeros) if residual else Spikes.none(len(zeros))
    spread, led_to = (spikes.spread_evenly(population) for population in (source, target))
    networks = autoencoders if any(step.latent for step in plan) else autoencoders[:1]
    fitted = [
        fit_steps(network, plan, spread, led_to, replace(fitting, seed=fitting.seed + number))
        for number, network in enumerate(networks)
    ]
    if not all(fitted):
        raise ModelError(
            f"Edit {name!r}: source has {len(source)} events, target {len(target)}; every step of its plan expects "
            "more (from_events). Give more events, or a step for any number."
        )
    members = tuple(
        Member(" → ".join(str(step.plan) for step in steps), 1 / len(networks), number, steps)
        for number, steps in enumerate(fitted)
    )
    errors = measure_errors(autoencoders[0], plan, spread, led_to, fitting) if measured else None
    edit = Edit(name, members, spikes, support, target_percentiles, shrinks, errors, unlearnable, unmoved)
    blended = in_chunks(lambda events: edit._blended(autoencoders, events), spread)
    return replace(edit, spikes=spikes.matched(blended, target))
