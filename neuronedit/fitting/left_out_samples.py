"""Samples and kinds of cell left out in turn: how well an edit that is fitted on the others does on each.

An edit is fitted by the same plan without a sample's events, applied to that sample's source events, and compared with
its own target events. The autoencoders stay: they have seen all samples, so what an edit of neurons owes to this is not
among the error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from neuronedit.arrays import Float32s, Int64s, Masks, Texts
from neuronedit.cells.design import MIN_POPULATION_EVENTS, EditPair
from neuronedit.cells.scaling import Scaling
from neuronedit.edits.baselines import quantile_map
from neuronedit.edits.edit import Edit, EditConfig, fit_edit
from neuronedit.edits.learnable import unmoved_columns
from neuronedit.edits.pair_events import PairEvents
from neuronedit.errors import DataError, ModelError
from neuronedit.fitting.prepare import Prepared
from neuronedit.measures.distances import distance_to_truth, noise_floor
from neuronedit.measures.left_out import LeftOutUnit, errors_left
from neuronedit.network.autoencoder import Autoencoder

MAX_EVENTS: Final = 4_000
"""Events of each side that an edit is fitted on without a sample, and that the sample is scored on, at most."""

MAX_FITS: Final = 8
"""Fits of each edit; of more samples several are left out at once, and each is scored by itself."""

SAMPLES: Final = "samples"
KINDS: Final = "kinds"


@dataclass(frozen=True)
class Units:
    """What is left out of source and target: samples, or kinds of cell.

    Attributes:
        column: The column that names them.
        names: (n_events,) each event's unit, by population.
    """

    column: str
    names: Mapping[str, Texts]

    def common(self, pair: EditPair) -> list[str]:
        """The units with enough events in both source and target to be scored, sorted."""
        counts = [self._counts(pair.source), self._counts(pair.target)]
        enough = [{name for name, n_events in of.items() if n_events >= MIN_POPULATION_EVENTS} for of in counts]
        return sorted(set.intersection(*enough))

    def why_none(self, pair: EditPair) -> str:
        """Say why none can be left out, where there are not several that source and target have in common."""
        common = self.common(pair)
        found = f"1, {common[0]!r}," if common else "none"
        return (
            f"of {self.column}, source and target have {found} in common with at least {MIN_POPULATION_EVENTS} events "
            "in each; expected several"
        )

    def _counts(self, populations: Sequence[str]) -> dict[str, int]:
        found = np.concatenate([self.names[name].astype(str) for name in populations])
        return dict(zip(*(part.tolist() for part in np.unique(found, return_counts=True)), strict=True))


def left_out_units(prepared: Prepared) -> dict[str, Units]:
    """Find what can be left out: samples, where the design names them, and kinds of cell, where the edit does.

    Example:
        >>> from neuronedit.fitting.prepare import prepare
        >>> from neuronedit.model.example import example_cells, example_model
        >>> pair, model = {"source": example_cells(), "target": example_cells(1)}, example_model()
        >>> left_out_units(prepare(pair, model.panel, model.design))
        {}
    """
    drawn, column, kinds = prepared.drawn, prepared.design.sample_column, prepared.edit.population_column
    samples = {SAMPLES: Units(column, drawn.samples)} if column else {}
    return samples | ({KINDS: Units(kinds, drawn.column(kinds) or {})} if kinds else {})


def left_out_groups(names: Sequence[str], seed: int) -> list[list[str]]:
    """Split units into groups that are left out together; none where there are not several units.

    Example:
        >>> left_out_groups(["P1"], seed=0), sorted(left_out_groups(["P1", "P2"], seed=0))
        ([], [['P1'], ['P2']])
    """
    if len(names) < 2:
        return []
    order = np.random.default_rng(seed).permutation(len(names))
    return [sorted(names[number] for number in group) for group in np.array_split(order, min(len(names), MAX_FITS))]


@dataclass(frozen=True)
class LeaveOut:
    """Fits an edit without some units, and scores it on each: a task of its own, on any machine.

    Attributes:
        config: Plan, percentiles, and the treatment of events beyond the support.
        scaling: Leads standardised markers back to transformed units, in which distances are measured.
        markers: Standardised, (n_events, n_markers) float32 each, by population, of all sources and targets.
        units: What can be left out.
        labels: Cell types of the events, by population; None if they are unknown.
        unlearnable: By edit, the columns of markers that stay as they are, with the reasons.
        unmoved: Columns of markers that no edit is to move.
        autoencoders: The trained autoencoders.
        seed: Draws events, and halves the left-out ones for noise floors.
    """

    config: EditConfig
    scaling: Scaling
    markers: Mapping[str, Float32s]
    units: Mapping[str, Units]
    labels: Mapping[str, Texts] | None
    unlearnable: Mapping[str, Mapping[int, str]]
    unmoved: tuple[int, ...]
    autoencoders: tuple[Autoencoder, ...]
    seed: int

    @classmethod
    def from_prepared(
        cls, prepared: Prepared, edits: Mapping[str, Edit], autoencoders: tuple[Autoencoder, ...], seed: int
    ) -> Self:
        """Take what the tasks need, and no more: it is sent to every machine."""
        needed = {name for pair in prepared.pairs for name in (*pair.source, *pair.target)}
        return cls(
            prepared.edit,
            prepared.scaling,
            {name: prepared.markers[name] for name in sorted(needed)},
            left_out_units(prepared),
            prepared.drawn.column(prepared.edit.population_column),
            {name: edit.unlearnable for name, edit in edits.items()},
            unmoved_columns(prepared.edit.markers, prepared.panel.markers),
            autoencoders,
            seed,
        )

    def __call__(self, task: tuple[EditPair, str, tuple[str, ...]]) -> list[LeftOutUnit] | str:
        """Score an edit on some units that it is fitted without; say why it cannot be fitted, so that others go on."""
        pair, kind, left = task
        try:
            edit, others = self._fit(pair, kind, left)
        except (DataError, ModelError) as error:
            return str(error)
        return [self._score(pair, kind, name, edit, others) for name in left]

    def _fit(self, pair: EditPair, kind: str, left: tuple[str, ...]) -> tuple[Edit, PairEvents]:
        chosen = {
            name: self._drawn(~np.isin(self.units[kind].names[name].astype(str), left), len(side))
            for side in (pair.source, pair.target)
            for name in side
        }
        markers = {name: self.markers[name][rows] for name, rows in chosen.items()}
        labels = {name: self.labels[name][rows] for name, rows in chosen.items()} if self.labels else None
        others = PairEvents.pool(pair, markers, labels)
        others = replace(others, unlearnable=self.unlearnable[pair.name], unmoved=self.unmoved)
        others = others.matched(self.seed) if self.config.match_composition else others
        edit = fit_edit(
            pair.name,
            self.autoencoders,
            self.config.plan,
            others.source,
            others.target,
            zeros=self.scaling.zeros,
            fitting=others.fitting(self.config.n_percentiles, self.seed),
            beyond_support=self.config.beyond_support,
            unlearnable=others.unlearnable,
        )
        return edit, others

    def _score(self, pair: EditPair, kind: str, left: str, edit: Edit, others: PairEvents) -> LeftOutUnit:
        events, truth = (
            np.concatenate(
                [
                    self.markers[name][self._drawn(self.units[kind].names[name].astype(str) == left, len(side))]
                    for name in side
                ]
            )
            for side in (pair.source, pair.target)
        )
        source, target, unedited, measured, edited = (
            self.scaling.unstandardise(markers)
            for markers in (others.source, others.target, events, truth, edit.apply(self.autoencoders, events))
        )
        nothing, floor = distance_to_truth(unedited, measured, self.seed), noise_floor(measured, self.seed)
        predictions = {"edit": edited, "quantile_map": quantile_map(source, target, unedited)}
        errors = {
            method: errors_left(distance_to_truth(predicted, measured, self.seed), nothing, floor)
            for method, predicted in predictions.items()
        }
        return LeftOutUnit(name=left, n_events=len(events), n_truth=len(truth), **errors)

    def _drawn(self, chosen: Masks, n_populations: int) -> Int64s:
        """Draw some of the chosen rows, so that a side's populations together have ``MAX_EVENTS``."""
        rows = np.flatnonzero(chosen)
        return np.sort(np.random.default_rng(self.seed).permutation(rows)[: MAX_EVENTS // n_populations])
