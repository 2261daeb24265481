"""Plans by name, and the settings of the edits."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from neuronedit.config import Config
from neuronedit.edits.learnable import Unlearnable
from neuronedit.edits.operators.percentiles import N_PERCENTILES
from neuronedit.edits.operators.strata import EVENTS_PER_STRATUM
from neuronedit.edits.operators.table import EditStep
from neuronedit.edits.students.student import Server
from neuronedit.network.autoencoder import CODE, DECODER, ENCODER, VISIBLE, Architecture

Plan = tuple[EditStep, ...]


STRATA: Plan = (EditStep(layer=VISIBLE, operator="strata"),)
QUANTILE_MAP: Plan = (EditStep(layer=VISIBLE),)
TRANSPORT: Plan = (EditStep(layer=VISIBLE, operator="transport"), *QUANTILE_MAP)

NEURONS_THEN_MARKERS: Plan = (EditStep(layer=CODE), EditStep(layer=VISIBLE))
"""The code, then the markers: the network supplies context, the markers exact marginals."""

FROM_EVENTS = 8 * EVENTS_PER_STRATUM
"""Events from which strata are many enough to come first. With fewer, they were as good or worse on real cells."""

DEFAULT: Plan = (
    EditStep(layer=VISIBLE, operator="strata", from_events=FROM_EVENTS),
    EditStep(layer=(ENCODER, DECODER), operator="trained"),
    *STRATA,
)
"""What is fitted where no plan is given: markers by kinds of cell, where there are events for many kinds; then neurons
whose shifts are trained; then markers again, by kinds found anew in events that nearly meet the target."""

PRESETS: Mapping[str, Plan] = {
    "trained": DEFAULT,
    "paper": (EditStep(layer=CODE, operator="step", form="plain"),),
    "quantile-map": QUANTILE_MAP,
    "neurons-then-markers": NEURONS_THEN_MARKERS,
    "strata": STRATA,
    "transport": TRANSPORT,
    "neurons-strata": (EditStep(operator="strata"), *STRATA),
}
"""Plans by name: the default; that of Amodio et al. 2018; others to compare with."""

Preset = Literal["trained", "paper", "quantile-map", "neurons-then-markers", "strata", "transport", "neurons-strata"]

BeyondSupport = Literal["measured", "edit", "shrink"]


def check_layers(edit: "EditConfig", network: Architecture) -> None:
    """Check that the network has the layers that a plan of steps names.

    Raises:
        ConfigError: It lacks one.

    Example:
        >>> check_layers(EditConfig(steps=(EditStep(layer="encoder.2"),)), Architecture())
    """
    for layer in (layer for step in edit.steps for layer in step.layers):
        network.layer_named(layer)


class EditConfig(Config):
    """Settings of the edits: the layers, their order and their operators.

    Example:
        >>> from neuronedit import EditConfig
        >>> [str(step) for step in EditConfig(preset="neurons-then-markers").plan]
        ['code linear', 'visible linear']
    """

    preset: Preset | None = Field(
        None,
        description="a plan by name, applied even where doing nothing does better; trained: what is fitted by default, "
        f"visible (strata) from {FROM_EVENTS:,} events on, the last layers of encoder and decoder (trained), then "
        "visible (strata); paper: code (step, plain); "
        "quantile-map: visible (linear); neurons-then-markers: code, then visible (linear); strata: visible (strata); "
        "transport: visible (transport, then linear); neurons-strata: code, then visible (strata)",
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
        "measured: the default plan's shrinks where it was seen not to carry over, others' stays",
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
    def given(self) -> bool:
        """Whether a plan was given, to be applied in any case."""
        return bool(self.steps or self.preset)

    @property
    def plan(self) -> Plan:
        """The steps."""
        return self.steps or PRESETS[self.preset or "trained"]

    @field_validator("preset", mode="before")
    @classmethod
    def _auto_is_no_more(cls, preset: object) -> object:
        if preset == "auto":
            raise ValueError(
                "expected a plan's name, found 'auto', which is no more: one plan does as well. Leave edit.preset out"
            )
        return preset

    @model_validator(mode="after")
    def _one_plan(self) -> Self:
        if "steps" in self.model_fields_set and not self.steps:
            raise ValueError("edit.steps is empty; expected at least one step. Remove the key for the default plan")
        if self.steps and all(step.from_events for step in self.steps):
            raise ValueError(
                "every step of edit.steps is for a least number of events (from_events); expected one that is fitted "
                "to any number. Leave from_events out there"
            )
        if self.preset and self.steps:
            raise ValueError("give either edit.preset or edit.steps; expected one plan, found two. Remove one of them")
        return self
