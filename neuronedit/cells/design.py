"""The experiment's design: which events are source, target and extrapolation, and which edits follow.

A design reads events' column values and gives each event the name of its population; the populations' names then
say which edits can be fitted. In this module, *batch* is the experiment's, a value of ``batch_column``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field

from neuronedit.arrays import Masks, Texts
from neuronedit.cells.selection import Where, describe, select
from neuronedit.config import Config
from neuronedit.errors import DataError, listing, nearest_name

MIN_POPULATION_EVENTS = 50
"""A source or target with fewer events than this cannot support percentiles."""

PAIR_EDIT = "pair"
"""The name of a pair design's only edit."""

INVERSE = " inverse"
"""The ending of the name of an edit that leads back: from A to the reference, then by C's inverse to C."""

POPULATION = "population"
"""The column that a design of arrays records: nobody reads it, populations come with their names."""

POOLED = "pooled"
"""The reference that pools all batches' controls."""

SAMPLE_COLUMN_MEANS = (
    "the column that names what a new application is a new draw of, in source and target alike: donor, line, plate, …; "
    "each of several such samples is left out in turn, to tell beforehand how the edit carries over to another. "
    "Training is validated on whole samples, too: by this column or, without it, by sample_id or the file's name"
)

WITHOUT_CONTROLS = (
    "There are no controls: all events of a batch stood for its control, so what differs between batches in biology "
    "(other patients, other mixes of cells) is removed together with the batch effect."
)


@dataclass(frozen=True)
class EditPair:
    """One edit to fit: the names of the populations that it leads from and to, each with equal weight."""

    name: str
    source: tuple[str, ...]
    target: tuple[str, ...]

    @property
    def inverse(self) -> "EditPair":
        """The edit that leads back, from target to source."""
        return EditPair(f"{self.name}{INVERSE}", self.target, self.source)


class PairDesign(Config):
    """One measured pair: learn source → target, apply it to any events."""

    kind: Literal["pair"] = Field("pair", description="one source and one target population")
    source: Where = Field(min_length=1, description='column values of the source, e.g. {condition = "untreated"}')
    target: Where = Field(min_length=1, description='column values of the target, e.g. {condition = "treated"}')
    extrapolation: Where = Field({}, description="column values of events to train on that are in neither (optional)")
    sample_column: str | None = Field(None, description=SAMPLE_COLUMN_MEANS)

    @classmethod
    def of_arrays(cls, sample_column: str | None = None) -> Self:
        """The design of populations that are given as arrays, ``source`` and ``target``: no column chooses events.

        Args:
            sample_column: The name of what ``DrawnPopulations.samples`` tells of each event, e.g. ``donor``.

        Example:
            >>> from neuronedit import PairDesign
            >>> PairDesign.of_arrays().edits({"source": 900, "target": 800})
            [EditPair(name='pair', source=('source',), target=('target',))]
        """
        return cls(source={POPULATION: "source"}, target={POPULATION: "target"}, sample_column=sample_column)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the design reads."""
        return _columns(*self.source, *self.target, *self.extrapolation, self.sample_column)

    @property
    def caution(self) -> str:
        """Nothing that whoever uses the edit must know of the design."""
        return ""

    def assign(self, events: pd.DataFrame, where: str) -> Texts:
        """Name each event's population, (n_events,) texts; "" for events that no population takes.

        Args:
            events: The design's columns, (n_events,) each.
            where: The file that the events are from, for the message.

        Raises:
            DataError: An event is source and target at once, or has no sample.

        Example:
            >>> design = PairDesign(source={"drug": "none"}, target={"drug": "a"})
            >>> design.assign(pd.DataFrame({"drug": ["a", "none", "b"]}), "cells.parquet").tolist()
            ['target', 'source', '']
        """
        source, target = select(events, self.source), select(events, self.target)
        if (source & target).any():
            raise DataError(
                f"{where}: {int((source & target).sum())} events are source and target at once "
                f"(source {self.source}, target {self.target}). Choose column values that exclude each other."
            )
        _check_samples(events, self.sample_column, source | target, where)
        population = np.full(len(events), "", dtype=object)
        if self.extrapolation:
            population[select(events, self.extrapolation)] = "extrapolation"
        population[source] = "source"
        population[target] = "target"
        return population

    def edits(self, counts: Mapping[str, int]) -> list[EditPair]:
        """List the edits to fit: one, from source to target.

        Args:
            counts: Number of events, by population.

        Raises:
            DataError: A population has too few events.
        """
        _check_count("source", counts.get("source", 0), self.source)
        _check_count("target", counts.get("target", 0), self.target)
        if self.extrapolation and not counts.get("extrapolation"):
            raise DataError(_no_extrapolation(self.extrapolation))
        return [EditPair(PAIR_EDIT, ("source",), ("target",))]


class ControlsDesign(Config):
    """One control sample in every batch: learn batch → reference on controls, apply it to all of the batch."""

    kind: Literal["controls"] = Field("controls", description="one edit for each batch that has a control")
    batch_column: str = Field("batch_id", description="the column that names an event's batch")
    control: Where = Field(
        description='column values of the controls, e.g. {role = "control"}; {} where there are none: all events of a '
        "batch then stand for its control, and biology that differs between batches is removed with their effect"
    )
    reference: str = Field(description="the batch that others are led to, or 'pooled' for all controls together")
    extrapolation: Where = Field(
        {}, description='column values of other events to train on, e.g. {role = "validation"} (optional)'
    )
    sample_column: str | None = Field(None, description=SAMPLE_COLUMN_MEANS)

    @property
    def caution(self) -> str:
        """Say what whoever uses the edits must know of the design; empty where there is nothing.

        Example:
            >>> ControlsDesign(control={}, reference="day1").caution[:39]
            'There are no controls: all events of a '
        """
        return "" if self.control else WITHOUT_CONTROLS

    @classmethod
    def of_arrays(cls, reference: str, batch_column: str = "batch_id", sample_column: str | None = None) -> Self:
        """The design of controls that are given as arrays, by the names of their batches.

        Args:
            reference: The batch that others are led to, or ``pooled``.
            batch_column: The column that names an event's batch where the model is applied to tables.
            sample_column: The name of what ``DrawnPopulations.samples`` tells of each event, e.g. ``donor``.

        Example:
            >>> from neuronedit import ControlsDesign
            >>> ControlsDesign.of_arrays(reference="day1").edits({"control day1": 900, "control day2": 800})
            [EditPair(name='day2', source=('control day2',), target=('control day1',))]
        """
        control: Where = {POPULATION: "control"}
        return cls(batch_column=batch_column, control=control, reference=reference, sample_column=sample_column)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the design reads."""
        return _columns(self.batch_column, *self.control, *self.extrapolation, self.sample_column)

    def assign(self, events: pd.DataFrame, where: str) -> Texts:
        """Name each event's population, (n_events,) texts; "" for events that no population takes.

        Args:
            events: The design's columns, (n_events,) each.
            where: The file that the events are from, for the message.

        Raises:
            DataError: A control event has no batch, or no sample.

        Example:
            >>> design = ControlsDesign(control={"role": "control"}, reference="day1")
            >>> events = pd.DataFrame({"batch_id": ["day1", "day2", "day2"], "role": ["control", "control", "case"]})
            >>> design.assign(events, "cells.parquet").tolist()
            ['control day1', 'control day2', '']
        """
        batches = events[self.batch_column]
        # An empty text is no batch's name: events without a batch would be given its edit.
        named = (batches.notna() & (batches.astype(str) != "")).to_numpy(dtype=bool)
        population = np.full(len(events), "", dtype=object)
        if self.extrapolation:
            chosen = select(events, self.extrapolation) & named
            population[chosen] = ("extrapolation " + batches[chosen].astype(str)).to_numpy()
        control = select(events, self.control)
        if (control & ~named).any():
            raise DataError(
                f"{where}: {int((control & ~named).sum())} control events have no value in "
                f"{self.batch_column!r}. Fill the column, or leave these events out."
            )
        _check_samples(events, self.sample_column, control, where)
        population[control] = ("control " + batches[control].astype(str)).to_numpy()
        return population

    def batches(self, populations: Collection[str]) -> dict[str, str]:
        """Names of the controls' populations among those given, by batch."""
        controls = sorted(name for name in populations if name.startswith("control "))
        return {name.removeprefix("control "): name for name in controls}

    def populations_of(self, batch: str) -> tuple[str, str]:
        """Name a batch's two populations: its controls, and its other events to train on."""
        return f"control {batch}", f"extrapolation {batch}"

    def edits(self, counts: Mapping[str, int]) -> list[EditPair]:
        """List the edits to fit: one for each batch but the reference.

        Args:
            counts: Number of events, by population.

        Raises:
            DataError: There are too few batches or events, or the reference has no control.

        Example:
            >>> design = ControlsDesign(control={"role": "control"}, reference="day1")
            >>> [edit.name for edit in design.edits({"control day1": 100, "control day2": 100})]
            ['day2']
        """
        batches = self.batches(counts)
        if len(batches) < 2:
            raise DataError(
                f"Found controls {self.control} in {len(batches)} batch(es) of column {self.batch_column!r}"
                f"{': ' + listing(batches) if batches else ''}; expected at least 2. "
                "Correct design.control and design.batch_column."
            )
        for name in batches.values():
            _check_count(name, counts[name], self.control)
        if self.reference != POOLED and self.reference not in batches:
            raise DataError(
                f"The reference batch {self.reference!r} has no control events "
                f"(batches with controls: {listing(batches)}{nearest_name(self.reference, batches)}). "
                "Correct design.reference, or use 'pooled'."
            )
        if self.extrapolation and not any(name.startswith("extrapolation ") for name in counts):
            raise DataError(_no_extrapolation(self.extrapolation))
        target = tuple(batches.values()) if self.reference == POOLED else (batches[self.reference],)
        return [EditPair(batch, (name,), target) for batch, name in batches.items() if batch != self.reference]


Design = PairDesign | ControlsDesign


def _columns(*names: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _check_samples(events: pd.DataFrame, column: str | None, chosen: Masks, where: str) -> None:
    if column is None:
        return
    nameless = chosen & (events[column].isna() | (events[column].astype(str) == "")).to_numpy(dtype=bool)
    if nameless.any():
        raise DataError(
            f"{where}: {int(nameless.sum())} events of source or target have no value in {column!r}; expected the "
            "sample that each is from. Fill the column, or leave design.sample_column out."
        )


def _no_extrapolation(where: Where) -> str:
    return (
        f"The extrapolation population {where} has no events. "
        "Correct the column values, or leave design.extrapolation out."
    )


def _check_count(population: str, n_events: int, where: Where) -> None:
    if n_events < MIN_POPULATION_EVENTS:
        raise DataError(
            f"The population {population!r} has {n_events} event{'' if n_events == 1 else 's'}; expected at least "
            f"{MIN_POPULATION_EVENTS} to estimate percentiles (chosen by {describe(where)}). "
            "Correct the column values, or add events."
        )
