"""The edit from source to target: the weighted mean of several plans' changes, usually one plan's alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from neuronedit.arrays import Float32s
from neuronedit.config import Config
from neuronedit.edits.auto import CANDIDATES, Plan, PlanChoice, choose
from neuronedit.edits.baselines import NO_EDIT
from neuronedit.edits.learnable import Unlearnable, hidden_columns, hide, hide_tensor, with_columns
from neuronedit.edits.operators.percentiles import N_PERCENTILES, percentiles
from neuronedit.edits.spikes import Spikes
from neuronedit.edits.steps import EditStep, Fitting, Member, fit_steps
from neuronedit.edits.students.fidelity import Fidelity
from neuronedit.edits.students.student import Server, Student
from neuronedit.edits.support import Support, shrink
from neuronedit.network.autoencoder import CODE, VISIBLE, Autoencoder
from neuronedit.network.chunks import Activations, in_chunks

Auto = Literal["auto"]
AUTO: Auto = "auto"
"""Stands for a plan: candidates are tried on events left out, and blended by their errors (see ``auto``)."""

Preset = Literal["auto", "paper", "quantile-map", "neurons-then-markers", "strata", "transport", "neurons-strata"]

NEURONS_THEN_MARKERS: Plan = (EditStep(layer=CODE), EditStep(layer=VISIBLE))
"""The code, then the markers: the network supplies context, the markers exact marginals."""

PRESETS: Mapping[str, Plan] = {
    "paper": (EditStep(layer=CODE, operator="step", form="plain"),),
    "neurons-then-markers": NEURONS_THEN_MARKERS,
    **{name: CANDIDATES[name] for name in ("quantile-map", "strata", "transport", "neurons-strata")},
}
"""Plans by name: Amodio et al. 2018; the code, then the markers; candidates of ``auto``."""

BeyondSupport = Literal["measured", "edit", "shrink"]


@dataclass(frozen=True)
class Edit:
    """A fitted transformation source → target; it means nothing for another autoencoder's weights.

    Attributes:
        name: The batch that it leads to the reference, or ``pair``; an inverse has a name of its own.
        members: Empty where doing nothing was chosen, or no marker can be learned.
        spikes: The mass at exact zero, which keeps its rank.
        support: Which events the source has anything like.
        target_percentiles: (n_percentiles, n_markers) float32, of the target as measured, standardised.
        shrinks: The change shrinks to nothing beyond the support.
        choice: How the plan was chosen; None where it was given.
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
    choice: PlanChoice | None = None
    unlearnable: Mapping[int, str] = field(default_factory=dict)
    unmoved: tuple[int, ...] = ()
    student: Student | None = None
    fidelity: Fidelity | None = None

    @property
    def summary(self) -> str:
        """Name the plans and say how far the change carries over, as far as that was measured."""
        if not self.members:
            of_named = " of those that edit.markers names" if self.unmoved else ""
            return self.choice.summary if self.choice else f"no edit: no marker{of_named} can be learned"
        if self.choice is None:
            return ", ".join(member.plan for member in self.members)
        return (
            f"{self.choice.summary}; beyond its support the change {'shrinks to nothing' if self.shrinks else 'stays'}"
        )

    def expected_error(self, unsupported: float = 0.0) -> float:
        """Expect an error, before any truth is seen: 0 is noise, 1 is doing nothing, NaN where it was not measured.

        Args:
            unsupported: The share, 0 … 1, of the events to be edited that is unlike those that the edit was fitted on.
        """
        if not self.members:
            return 1.0
        if self.choice is None:
            return float("nan")
        beyond = 1.0 if self.shrinks else self.choice.left_out_error
        parts = ((1 - unsupported, self.choice.within_error), (unsupported, beyond))
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
    plan: Plan | Auto,
    source: Float32s,
    target: Float32s,
    *,
    zeros: Float32s,
    fitting: Fitting | None = None,
    beyond_support: BeyondSupport = "measured",
    choice: PlanChoice | None = None,
    unlearnable: Mapping[int, str] | None = None,
) -> Edit:
    """Fit an edit: choose plans where none is given, fit their steps for each network, measure support and spikes.

    Args:
        name: The edit's name.
        autoencoders: Trained; frozen from here on. A plan that edits neurons is fitted for each, and their mean taken.
        plan: The steps, or ``auto``.
        source: (n_events, n_markers) float32, standardised.
        target: (n_events, n_markers) float32, standardised.
        zeros: (n_markers,) zero intensity, standardised.
        fitting: How each plan is fitted, and the markers that the edit does not move.
        beyond_support: The treatment of events unlike any of the source's: ``edit`` edits them as others; ``shrink``
            shrinks the change to nothing; ``measured`` shrinks it where ``auto`` saw that the change does not carry
            over, or found no stratum large enough to see.
        choice: For ``auto``, plans that were chosen before, to be fitted again in the place of a new choice.
        unlearnable: Columns of markers that stay as they are, and that nothing else is learned from, with the reasons.

    Raises:
        ConfigError: A step names a layer that the autoencoder does not have.
        DataError: The source has fewer than two different events.
        ModelError: A step could not be fitted.

    Example:
        >>> import numpy as np
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
    spikes = Spikes.find(source, target, zeros) if _residual(plan) else Spikes.none(len(zeros))
    spread, led_to = (spikes.spread_evenly(population) for population in (source, target))
    choice = (choice or choose(autoencoders[0], spread, led_to, fitting)) if plan == AUTO else None
    if choice:
        plans = [(name, CANDIDATES[name], weight) for name, weight in choice.weights.items() if name != NO_EDIT]
    else:
        assert plan != AUTO
        plans = [(" → ".join(f"{step.layer} {step.operator}" for step in plan), plan, 1.0)]
    members = tuple(
        Member(name, weight / n_members, number, fit_steps(autoencoders[number], steps, spread, led_to, fitting))
        for name, steps, weight in plans
        for n_members in [len(autoencoders) if any(step.latent for step in steps) else 1]
        for number in range(n_members)
    )
    edit = Edit(name, members, spikes, support, target_percentiles, False, choice, unlearnable, unmoved)
    if members:
        blended = in_chunks(lambda events: edit._blended(autoencoders, events), spread)
        spikes = spikes.matched(blended, target)
    not_carried = choice is not None and not choice.carries_over
    shrinks = beyond_support == "shrink" or (beyond_support == "measured" and not_carried)
    return replace(edit, spikes=spikes, shrinks=shrinks)


def _residual(plan: Plan | Auto) -> bool:
    """Tell whether every step adds a decoded change; the paper takes the decoder's output, zeros and all."""
    return plan == AUTO or all(step.form == "residual" for step in plan)


class EditConfig(Config):
    """Settings of the edits: the layers, their order and their operators.

    Example:
        >>> from neuronedit import EditConfig
        >>> [(step.layer, step.operator) for step in EditConfig(preset="neurons-then-markers").plan]
        [('code', 'linear'), ('visible', 'linear')]
    """

    preset: Preset | None = Field(
        None,
        description="a plan by name, by default auto: candidates are tried on populations left out of source and "
        "target, and blended by how they do; paper: code (step, plain); quantile-map: visible (linear); "
        "neurons-then-markers: code, then visible (linear); strata: visible (strata); transport: visible "
        "(transport, then linear); neurons-strata: code, then visible (strata)",
    )
    steps: tuple[EditStep, ...] = Field(
        (), description="a plan of your own, in place of a preset: one table per layer, in order"
    )
    n_percentiles: int = Field(N_PERCENTILES, ge=3, description="evenly spaced, from 0 to 100; the paper has 101")
    markers: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="the markers that edits may move, by default all of the panel: others stay as they are, bit for "
        "bit, and still tell an event's kind",
    )
    beyond_support: BeyondSupport = Field(
        "measured",
        description="events unlike any of the source's: edit: as others; shrink: the change shrinks to nothing; "
        "measured: it shrinks where auto saw that it does not carry over",
    )
    unlearnable: Unlearnable = Field(
        "leave",
        description="markers that an edit cannot learn, as source or target has no signal in them, or not the other's: "
        "leave: they stay as they are, bit for bit; refuse: training stops; learn: they are edited all the same",
    )
    match_composition: bool = Field(
        False,
        description="weigh the target's events so that their mix of cell types is the source's: a different mix is "
        "not learned as an effect",
    )
    population_column: str | None = Field(
        None,
        description="a column that names cell types, for strata and match_composition; by default found unlabelled",
    )
    serve: Server = Field(
        "student",
        description="student: a small fast map, distilled from the edit, makes its change where it is measured to be "
        "as good; teacher: none is made",
    )
    inverse: bool = Field(
        False, description='fit the way back, too, as "NAME inverse": edits then lead from batch to batch'
    )

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The column that names cell types, where there is one."""
        return (self.population_column,) if self.population_column else ()

    @property
    def plan(self) -> Plan | Auto:
        """The steps, or ``auto``."""
        if self.steps:
            return self.steps
        return AUTO if self.preset in (None, AUTO) else PRESETS[str(self.preset)]

    @model_validator(mode="after")
    def _one_plan(self) -> Self:
        if "steps" in self.model_fields_set and not self.steps:
            raise ValueError("edit.steps is empty; expected at least one step. Remove the key for the default plan")
        if self.preset and self.steps:
            raise ValueError("give either edit.preset or edit.steps; expected one plan, found two. Remove one of them")
        return self
