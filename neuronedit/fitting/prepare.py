"""Raw populations made ready for networks and edits: scaled, pooled for each edit, matched."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from neuronedit.arrays import Float32s, Floats
from neuronedit.cells.design import ControlsDesign, Design, EditPair
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import Scaling, fit_scaling, tell_small_cofactors
from neuronedit.cells.selection import describe
from neuronedit.edits.learnable import by_marker, find_unlearnable, unmoved_columns
from neuronedit.edits.pair_events import PairEvents
from neuronedit.edits.plans import EditConfig
from neuronedit.errors import DataError, listing, nearest_name

log = logging.getLogger(__name__)

Populations = Mapping[str, Floats] | DrawnPopulations
"""Raw intensities, (n_events, n_markers) each in the panel's order, by the design's names; or drawn from a dataset."""


@dataclass(frozen=True)
class Prepared:
    """Populations that networks and edits learn from: scaled, pooled, matched.

    Attributes:
        panel: The markers.
        design: The populations that edits lead from and to.
        edit: The settings of the edits.
        drawn: Raw intensities, with labels and samples of each event if they are known.
        scaling: Fitted on all populations with equal weight.
        markers: Standardised, (n_events, n_markers) float32 each, by population.
        pairs: The edits to fit.
        events: Source and target events, by edit.
    """

    panel: Panel
    design: Design
    edit: EditConfig
    drawn: DrawnPopulations
    scaling: Scaling
    markers: Mapping[str, Float32s]
    pairs: tuple[EditPair, ...]
    events: Mapping[str, PairEvents]

    def with_edit(self, edit: EditConfig, seed: int = 0) -> "Prepared":
        """Prepare the same populations for edits that are fitted in another way.

        Args:
            edit: The settings of the edits.
            seed: Seed of the draws of ``match_composition``.

        Raises:
            DataError: A source shares no cell type with its target, or a marker cannot be learned and is refused.
        """
        pairs = with_inverses(self.design.edits(self.drawn.counts), edit)
        unlearnable = judge_markers(pairs, self.drawn, self.panel, self.design, edit)
        events = pair_events(pairs, self.markers, self.drawn, self.panel, edit, unlearnable, seed)
        return replace(self, edit=edit, pairs=pairs, events=events)


def prepare(
    populations: Populations, panel: Panel, design: Design, edit: EditConfig | None = None, seed: int = 0
) -> Prepared:
    """Scale populations, and pool and match the events of each edit.

    Args:
        populations: Raw intensities by the design's names, (n_events, n_markers) each in the panel's order.
        panel: The markers.
        design: The populations that edits lead from and to.
        edit: The settings of the edits; by default ``plans.DEFAULT`` is fitted.
        seed: Seed of the draws of ``match_composition``.

    Raises:
        ConfigError: A marker that edits may move is not in the panel.
        DataError: A population is missing, has another shape or too few events, a value is not finite, labels are
            asked for that nobody gave, a source shares no cell type with its target, or a marker cannot be learned
            and is refused.

    Example:
        >>> from neuronedit.cells.design import PairDesign
        >>> cells = np.random.default_rng(0).lognormal(3.0, 0.5, (100, 1))
        >>> pair = {"source": cells, "target": 2 * cells}
        >>> prepared = prepare(pair, Panel(("CD4",), (5.0,)), PairDesign.of_arrays())
        >>> [edit.name for edit in prepared.pairs], prepared.events["pair"].source.shape
        (['pair'], (100, 1))
    """
    edit = edit or EditConfig()
    drawn = populations if isinstance(populations, DrawnPopulations) else _given(populations, panel, design)
    if edit.population_column and not drawn.labels:
        raise DataError(
            f"edit.population_column is {edit.population_column!r}; expected that column's labels of each event, found "
            "arrays of intensities alone. Hand in DrawnPopulations with labels, or leave population_column out."
        )
    if design.sample_column and not drawn.samples:
        raise DataError(
            f"design.sample_column is {design.sample_column!r}; expected the sample of each event, found arrays of "
            "intensities alone. Hand in DrawnPopulations with samples, or leave sample_column out."
        )
    pairs = with_inverses(design.edits(drawn.counts), edit)
    _tell_uncontrolled(design, drawn)
    tell_small_cofactors(panel, drawn.intensities.values())
    scaling = fit_scaling(drawn.intensities.values(), panel.transforms)
    markers = {name: scaling.standardise(scaling.transform(events)) for name, events in drawn.intensities.items()}
    # Judged, pooled and matched first: what cannot be learned or matched is told before anything is trained.
    unlearnable = judge_markers(pairs, drawn, panel, design, edit)
    events = pair_events(pairs, markers, drawn, panel, edit, unlearnable, seed)
    return Prepared(panel, design, edit, drawn, scaling, markers, pairs, events)


def with_inverses(pairs: Sequence[EditPair], edit: EditConfig) -> tuple[EditPair, ...]:
    """Add the inverse of each pair, if the configuration wants it.

    Example:
        >>> pairs = [EditPair("day2", ("control day2",), ("control day1",))]
        >>> [pair.name for pair in with_inverses(pairs, EditConfig(inverse=True))]
        ['day2', 'day2 inverse']
    """
    return (*pairs, *(pair.inverse for pair in pairs)) if edit.inverse else tuple(pairs)


def judge_markers(
    pairs: Sequence[EditPair], drawn: DrawnPopulations, panel: Panel, design: Design, edit: EditConfig
) -> dict[str, dict[int, str]]:
    """Find the markers that each edit cannot learn, by the edit's name, and say so.

    A marker of pooled controls is one that all of them show: half of the events without a signal lead to half of it.

    Args:
        pairs: The edits.
        drawn: The populations.
        panel: The markers.
        design: Its controls are the same cells, source and target of a pair are not.
        edit: Such markers are left or refused, or learned: nothing is judged then. Those that no edit is to move are
            neither refused nor told.

    Raises:
        ConfigError: A marker that edits may move is not in the panel.
        DataError: A marker cannot be learned, and is refused.

    Example:
        >>> days = {"control day1": np.arange(99.0)[:, None], "control day2": np.zeros((99, 1))}
        >>> drawn = DrawnPopulations(days, {name: 99 for name in days})
        >>> design = ControlsDesign.of_arrays(reference="day1")
        >>> judge_markers(design.edits(drawn.counts), drawn, Panel(("CD8",), (5.0,)), design, EditConfig())
        {'day2': {0: "'control day2' has no signal: 100.0% of its events are at 0"}}
    """
    unmoved = unmoved_columns(edit.markers, panel.markers)
    if edit.unlearnable == "learn":
        return {}
    found: dict[str, dict[int, str]] = {}
    same_cells = isinstance(design, ControlsDesign)
    for pair in pairs:
        reasons: dict[int, str] = {}
        for names in ((source, target) for source in pair.source for target in pair.target if source != target):
            source, target = (drawn.intensities[name] for name in names)
            reasons = find_unlearnable(source, target, panel, names, same_cells=same_cells) | reasons
        found[pair.name] = dict(sorted(reasons.items()))
        moved = {column: reason for column, reason in found[pair.name].items() if column not in unmoved}
        for marker, reason in by_marker(moved, panel.markers).items():
            if edit.unlearnable == "refuse":
                raise DataError(
                    f"The edit {pair.name!r} cannot learn the marker {marker!r}: {reason}. Choose other controls or "
                    "another reference, leave the marker out of the panel, or leave it as it is with "
                    'edit.unlearnable = "leave".'
                )
            log.warning("edit %s: %s stays as it is, it cannot be learned: %s", pair.name, marker, reason)
    return found


def pair_events(
    pairs: Sequence[EditPair],
    markers: Mapping[str, Float32s],
    drawn: DrawnPopulations,
    panel: Panel,
    edit: EditConfig,
    unlearnable: Mapping[str, Mapping[int, str]],
    seed: int,
) -> dict[str, PairEvents]:
    """Pool the events of each pair and, if the configuration wants it, match the target's mix of cell types.

    Args:
        pairs: The edits.
        markers: Standardised, (n_events, n_markers) float32 each, by population.
        drawn: The populations, with labels of each event.
        panel: The markers.
        edit: The column that names cell types, whether the mix is matched, and the markers that edits may move.
        unlearnable: Columns of markers that an edit cannot learn, with the reasons, by the edit's name.
        seed: Seed of the draws of the matching.

    Raises:
        ConfigError: A marker that edits may move is not in the panel.
        DataError: A source shares no cell type with its target.

    Example:
        >>> markers = {"source": np.zeros((60, 1), np.float32), "target": np.ones((50, 1), np.float32)}
        >>> drawn = DrawnPopulations(markers, {"source": 60, "target": 50})
        >>> pair = EditPair("pair", ("source",), ("target",))
        >>> events = pair_events([pair], markers, drawn, Panel(("CD8",), (5.0,)), EditConfig(), {}, 0)["pair"]
        >>> events.source.shape, events.target.shape
        ((60, 1), (50, 1))
    """
    cell_types, unmoved = drawn.column(edit.population_column), unmoved_columns(edit.markers, panel.markers)
    events = {
        pair.name: replace(
            PairEvents.pool(pair, markers, cell_types),
            unlearnable=dict(unlearnable.get(pair.name, {})),
            unmoved=unmoved,
        )
        for pair in pairs
    }
    if edit.match_composition:
        return {name: pooled.matched(seed) for name, pooled in events.items()}
    return events


def _tell_uncontrolled(design: Design, drawn: DrawnPopulations) -> None:
    """Warn of batches without a control, of which transform will know no edit."""
    if not isinstance(design, ControlsDesign):
        return
    known = design.batches(drawn.counts)
    without = [f"{batch!r} ({n_events:,} events)" for batch, n_events in drawn.batches.items() if batch not in known]
    if without:
        log.warning(
            "no control (%s) in batch %s: no edit can be learned for it. transform will refuse its events, or pass "
            'them as they are with unknown_batch = "pass". Add its control, or leave the batch out.',
            describe(design.control),
            ", ".join(without[:8]) + (f" and {len(without) - 8} more" if len(without) > 8 else ""),
        )


def _given(populations: Mapping[str, Floats], panel: Panel, design: Design) -> DrawnPopulations:
    """Check arrays, and name them as the design does."""
    named = {_population_name(name, design): np.asarray(events) for name, events in populations.items()}
    for name, events in named.items():
        if events.ndim != 2 or events.shape[1] != panel.n_markers:
            raise DataError(
                f"The population {name!r} has shape {events.shape}; expected (n_events, {panel.n_markers}): a column "
                f"for each of the panel's {panel.n_markers} markers, in its order. Choose the markers' columns."
            )
        if not len(events):
            raise DataError(
                f"The population {name!r} has no events; expected at least one. Add events, or leave it out."
            )
    intensities = {name: named[name].astype(np.float32) for name in named}
    return DrawnPopulations(intensities, {name: len(events) for name, events in intensities.items()})


def _population_name(name: str, design: Design) -> str:
    """The design's name of a population: a batch's own name stands for its controls."""
    if isinstance(design, ControlsDesign):
        return name if name.startswith(("control ", "extrapolation ")) else f"control {name}"
    known = ("source", "target", "extrapolation")
    if name not in known:
        raise DataError(
            f"populations: found {name!r}; a pair design has {listing(known)}{nearest_name(name, known)}. "
            "Correct the name, or take a controls design for batches."
        )
    return name
