"""What the training job can be told of its edits."""

from typing import Self

from pydantic import Field, model_validator

from neuronedit.auto import Plan
from neuronedit.config import Config
from neuronedit.edit import AUTO, PRESETS, Auto, BeyondSupport, Preset
from neuronedit.percentiles import N_PERCENTILES
from neuronedit.steps import EditStep


class EditConfig(Config):
    """Which layers are edited, in which order, and how.

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
    beyond_support: BeyondSupport = Field(
        "measured",
        description="events unlike any of the source's: edit: as others; shrink: the change shrinks to nothing; "
        "measured: it shrinks where auto saw that it does not carry over",
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
