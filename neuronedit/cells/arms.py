"""The arms of a two-treatment experiment: neither treatment (control), A alone, B alone and, where measured, both."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Floats, Int64s, Texts
from neuronedit.cells.design import MIN_POPULATION_EVENTS
from neuronedit.cells.events import check_finite
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import Where, describe, select
from neuronedit.cells.transforms import transform_markers
from neuronedit.errors import DataError

CONTROL, A, B, BOTH = "control", "a", "b", "both"

MIN_SAMPLES = 2
"""Fewer replicate samples than this do not show how much samples scatter."""


@dataclass(frozen=True)
class ArmChoice:
    """A choice of events for each arm, by column values.

    Attributes:
        where: The column values asked for, by the arm's name.
        sample_column: The column that names each event's replicate sample (well), each then a population of its own;
            None if samples are not told apart.
    """

    where: Mapping[str, Where]
    sample_column: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the choice reads."""
        asked_for = [column for where in self.where.values() for column in where]
        return tuple(dict.fromkeys([*asked_for, *([self.sample_column] if self.sample_column else [])]))

    def assign(self, events: pd.DataFrame, where: str) -> Texts:
        """Name each event's population, ``ARM`` or ``ARM SAMPLE``; "" for events of no arm.

        Args:
            events: The choice's columns, (n_events,) each.
            where: The file that the events are from, for the message.

        Returns:
            (n_events,) texts.

        Raises:
            DataError: An event belongs to two arms, or an arm's event has no sample.

        Example:
            >>> arms = ArmChoice({CONTROL: {"drug": "none"}, A: {"drug": "a"}}, sample_column="well")
            >>> arms.assign(pd.DataFrame({"drug": ["a", "none", "b"], "well": [1, 2, 3]}), "cells.parquet").tolist()
            ['a 1', 'control 2', '']
        """
        population = np.full(len(events), "", dtype=object)
        for arm, wanted in self.where.items():
            chosen = select(events, wanted)
            taken = chosen & (population != "")
            if taken.any():
                raise DataError(
                    f"{where}: {int(taken.sum())} events are in the arms {str(population[taken][0])!r} and {arm!r} at "
                    f"once ({describe(wanted)}); expected each in one. Choose column values that exclude each other."
                )
            population[chosen] = arm
        if self.sample_column is None:
            return population
        in_arm, samples = population != "", events[self.sample_column]
        nameless = in_arm & (samples.isna() | (samples.astype(str) == "")).to_numpy(dtype=bool)
        if nameless.any():
            raise DataError(
                f"{where}: {int(nameless.sum())} events of the arms have no value in {self.sample_column!r}; expected "
                "the replicate sample that each is from. Fill the column, or leave sample_column out."
            )
        population[in_arm] += " " + samples.astype(str).to_numpy(dtype=object)[in_arm]
        return population


@dataclass(frozen=True)
class Arm:
    """The events of one treatment.

    Attributes:
        name: ``control``, ``a``, ``b`` or ``both``.
        intensities: (n_events, n_markers) raw, in random order.
        samples: (n_events,) number of each event's replicate sample; None if samples are not told apart.

    Raises:
        DataError: There are too few events, or fewer than two samples.
    """

    name: str
    intensities: Floats
    samples: Int64s | None = None

    def __post_init__(self) -> None:
        if len(self.intensities) < MIN_POPULATION_EVENTS:
            raise DataError(
                f"{self.name}: found {len(self.intensities) or 'no'} events; "
                f"expected at least {MIN_POPULATION_EVENTS} to compare "
                f"the arms. Correct the column values of {self.name}, or add events."
            )
        if self.samples is not None and (found := len(np.unique(self.samples))) < MIN_SAMPLES:
            raise DataError(
                f"{self.name}: found {found} replicate sample; expected at least {MIN_SAMPLES} to see how much samples "
                "scatter. Add replicates, or leave sample_column out: then events are taken as if they were replicates."
            )


@dataclass(frozen=True)
class Experiment:
    """The measured arms of one experiment, on one panel.

    Attributes:
        panel: The markers to compare, in the order of the arms' columns.
        control: Neither treatment.
        a: A alone.
        b: B alone.
        both: A and B together; None if that was not measured.

    Raises:
        DataError: Some arms have samples and others not, or an intensity is not a finite number.
    """

    panel: Panel
    control: Arm
    a: Arm
    b: Arm
    both: Arm | None = None

    def __post_init__(self) -> None:
        with_samples = [arm.name for arm in self.arms if arm.samples is not None]
        if 0 < len(with_samples) < len(self.arms):
            raise DataError(
                f"Replicate samples are told apart in {' and '.join(with_samples)} only; expected in all of "
                f"{len(self.arms)} arms, or in none. Give them for every arm."
            )
        for arm in self.arms:
            check_finite(arm.intensities, self.panel.markers, arm.name)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms that were measured."""
        return (self.control, self.a, self.b, *([self.both] if self.both else []))

    def transform(self, intensities: Floats) -> Float32s:
        """Transform raw intensities as the panel says: (n_events, n_markers) → transformed units, float32.

        Example:
            >>> arms = [Arm(name, np.zeros((50, 1))) for name in (CONTROL, A, B)]
            >>> Experiment(Panel(("CD3",), (5.0,)), *arms).transform(np.sinh([[2.0]]) * 5).round(3).tolist()
            [[2.0]]
        """
        return transform_markers(intensities, self.panel.transforms)
