"""A simulated task in which source and target differ in their mix of cell types, beside an effect on some markers.

Percentiles of whole populations read the mix as an effect: they move markers that nothing moved. Each cell's own
counterfactual is known, so that what is spurious is known, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Float64s, Int64s
from neuronedit.cells.transforms import MASS_COFACTOR
from neuronedit.edits.mix.composition import match
from neuronedit.edits.operators.percentiles import PercentileShift, weighted_percentiles
from neuronedit.measures.moments import rms
from neuronedit.network.autoencoder import tensor

SOURCE_SHARES = (0.23, 0.30, 0.20, 0.12, 0.10, 0.05)
"""Shares of the cell types in the source, monocytes first."""

TARGET_MONOCYTES = 0.55
"""The monocytes' share of the target; the other types keep their proportions."""

N_LINEAGE, N_FUNCTIONAL, N_MOVED = 12, 8, 5
"""Lineage markers tell types apart and are not moved; of the functional ones, which come last, some are."""

N_MARKERS = N_LINEAGE + N_FUNCTIONAL

SHARE_ON = 0.4
SHARE_RESPONDING = 0.7
"""Shares of types, in each moved marker."""

PLAIN, BY_LABELS, BY_STRATA, SAME_MIX = "plain", "matched by labels", "matched by strata", "target of the same mix"
"""Visible, linear edits: of the populations as they are, of weighted ones, and of a target that nothing confounds."""


@dataclass(frozen=True)
class Measured:
    """Cells of known type: (n_events, n_markers) float32 arcsinh units, and (n_events,) types."""

    events: Float32s
    types: Int64s


@dataclass(frozen=True)
class ConfoundedTask:
    """The task, with all that a score may ask for.

    Attributes:
        source: Before the change.
        target: After it, in another mix.
        same_mix: After it, in the source's mix: as many events as the target, for comparison only.
        events: To be edited, before the change, in the source's mix.
        counterfactuals: (n_events, n_markers) arcsinh units: the same events after the change.
    """

    source: Measured
    target: Measured
    same_mix: Measured
    events: Measured
    counterfactuals: Float32s


def confound(
    n_events: int, seed: int, target_monocytes: float = TARGET_MONOCYTES, strength: float = 1.0
) -> ConfoundedTask:
    """Draw types, effects and cells.

    Args:
        n_events: Number of events of each population.
        seed: Draws everything.
        target_monocytes: Their share of the target; the source's own leaves the mix as it is.
        strength: Multiplies the effect; 0 leaves the mix as the only difference.
    """
    generator = np.random.default_rng(seed)
    centres, effects = _draw_types(generator)
    source_mix = np.array(SOURCE_SHARES)
    others = source_mix[1:] / source_mix[1:].sum()
    target_mix = np.r_[target_monocytes, others * (1 - target_monocytes)]

    def draw(mix: Float64s) -> tuple[Int64s, Float64s]:
        types = generator.choice(len(mix), n_events, p=mix)
        size, own = generator.normal(0, 0.25, (n_events, 1)), generator.normal(0, 0.4, (n_events, N_MARKERS))
        return types, centres[types] + size + own

    def measure(cells: tuple[Int64s, Float64s], *, changed: bool) -> Measured:
        types, abundances = cells
        intensities = np.exp(abundances + strength * changed * effects[types]) - 1
        return Measured(np.arcsinh(np.clip(intensities, 0, None) / MASS_COFACTOR).astype(np.float32), types)

    source, target, same_mix, events = (draw(mix) for mix in (source_mix, target_mix, source_mix, source_mix))
    return ConfoundedTask(
        measure(source, changed=False),
        measure(target, changed=True),
        measure(same_mix, changed=True),
        measure(events, changed=False),
        measure(events, changed=True).events,
    )


def predict(task: ConfoundedTask, seed: int) -> dict[str, Float32s]:
    """Edit the events by each method: (n_events, n_markers) float32, arcsinh units, by method."""
    source, target = task.source.events, task.target.events
    by_labels = match(source, target, seed, labels=(task.source.types, task.target.types))
    by_strata = match(source, target, seed)
    edits: Mapping[str, tuple[Float32s, Float64s]] = {
        PLAIN: (target, np.ones(len(target))),
        BY_LABELS: (target, by_labels.target_weights),
        BY_STRATA: (target, by_strata.target_weights),
        SAME_MIX: (task.same_mix.events, np.ones(len(target))),
    }
    return {name: _edit(task, population, weights) for name, (population, weights) in edits.items()}


def score(task: ConfoundedTask, edited: Float32s) -> dict[str, float]:
    """How wrong edited events are.

    Returns:
        spurious: Root mean square of the change in markers that nothing moved, arcsinh units.
        error: Root mean square distance to the counterfactual in the markers that the change moves, arcsinh units.
        unedited: That distance without any edit.
    """
    still, moved = slice(0, N_MARKERS - N_MOVED), slice(N_MARKERS - N_MOVED, None)
    before, truth = task.events.events, task.counterfactuals
    return {
        "spurious": float(rms(edited[:, still] - before[:, still])),
        "error": float(rms(edited[:, moved] - truth[:, moved])),
        "unedited": float(rms(before[:, moved] - truth[:, moved])),
    }


def measure_confounded(n_events: int, n_seeds: int, target_monocytes: float = TARGET_MONOCYTES) -> pd.DataFrame:
    """A row for each seed and method: method, seed, spurious, error, unedited."""
    rows = []
    for seed in range(n_seeds):
        task = confound(n_events, seed, target_monocytes)
        rows += [{"method": name, "seed": seed, **score(task, edited)} for name, edited in predict(task, seed).items()]
    return pd.DataFrame(rows)


def _edit(task: ConfoundedTask, target: Float32s, weights: Float64s) -> Float32s:
    before, after = (
        weighted_percentiles(population, weight)
        for population, weight in ((task.source.events, np.ones(len(task.source.events))), (target, weights))
    )
    return (
        task.events.events + PercentileShift.fit(before, after, "linear").shift_at(tensor(task.events.events)).numpy()
    )


def _draw_types(
    generator: np.random.Generator,
) -> tuple[Float64s, Float64s]:
    """Centres and effects: (n_types, n_markers) each, log abundance."""
    n_types = len(SOURCE_SHARES)
    on = generator.random((n_types, N_LINEAGE)) < SHARE_ON
    lineage = np.where(on, generator.uniform(3, 6, on.shape), generator.uniform(0, 2, on.shape))
    functional = generator.uniform(1, 4, (n_types, N_FUNCTIONAL))
    effects = np.zeros((n_types, N_MARKERS))
    responding = generator.random((n_types, N_MOVED)) < SHARE_RESPONDING
    effects[:, -N_MOVED:] = responding * generator.uniform(0.5, 2, responding.shape)
    return np.column_stack([lineage, functional]), effects
