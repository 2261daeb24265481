"""A simulated batch task in which each cell's own counterfactual is known: its measurement in the other batch.

A cell has an *abundance* of each marker, which depends on its type and on whether it was treated. A batch measures
abundances through a staining of its own: a gain for each marker and type, saturation, and a threshold below which it
reads exactly zero. Controls of both batches lack one type; the events to be edited have all, half of them treated.
One cell measured in both batches differs by the staining alone.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Float64s, Int64s, Masks
from neuronedit.cells.transforms import MASS_COFACTOR
from neuronedit.measures.distances import emd
from neuronedit.measures.evaluation import classifier_auc

from .tasks import Populations

N_TREATED_MARKERS = 5

LACKING_SHARE = 0.05
"""Share of the type that the controls lack, among the events to be edited."""

EFFECT_FLOOR = 0.1
"""A smaller effect of the treatment, in arcsinh units, is none."""


@dataclass(frozen=True)
class World:
    """What a simulated task is drawn from: how many kinds of cell there are, and how far two stainings differ.

    Attributes:
        n_types: Kinds of cell; the last is the one that controls lack.
        n_markers: Markers of the panel.
        rare_shares: Shares of the events of the types before the last; the others share the rest at random.
        n_families: Families of kin types, which take turns: the lacking type has kin that controls have. With 0, no two
            types are kin.
        own_markers: Chance that a type of a family has a level of its own of a marker, and not its family's.
        share_on: Chance that a type, or a family, has a marker.
        off: Range of the log abundance of a marker that a type does not have; low ones read zero.
        marker_gain: Standard deviation of the log gain that all types of one batch share, of each marker.
        family_gain: Standard deviation of the log gain that one family of one batch adds, of each marker.
        type_gain: Standard deviation of the log gain that one type of one batch adds, of each marker.
        saturation: Standard deviation of the log saturation of one batch, of each marker.
        threshold: Standard deviation of the log threshold of one batch, of each marker.
        size: Standard deviation of the log abundance of all of a cell's markers together.
        own: Standard deviation of the log abundance of each of a cell's markers.
    """

    n_types: int = 10
    n_markers: int = 30
    rare_shares: tuple[float, ...] = ()
    n_families: int = 0
    own_markers: float = 1.0
    share_on: float = 0.4
    off: tuple[float, float] = (0, 2)
    marker_gain: float = 0.5
    family_gain: float = 0.0
    type_gain: float = 0.1
    saturation: float = 0.4
    threshold: float = 0.4
    size: float = 0.25
    own: float = 0.4

    @property
    def families(self) -> Int64s:
        """(n_types,) the family of each type."""
        return np.arange(self.n_types) % self.n_families


FEW_TYPES = World()
"""Ten types, which a batch stains nearly alike: one quantile map for each marker does most of the work."""

MANY_TYPES = World(
    n_types=14,
    rare_shares=(0.02, 0.01, 0.005),
    n_families=5,
    own_markers=0.4,
    off=(1.5, 3.5),
    marker_gain=0.3,
    family_gain=0.3,
    type_gain=0.08,
    saturation=0.1,
    threshold=0.1,
    size=0.2,
    own=0.5,
)
"""Fourteen types of five families, three of them rare, with a staining by family and type: an edit has to tell them
apart, and can learn of a type that it has not seen from its kin."""


@dataclass(frozen=True)
class Staining:
    """How one batch measures.

    Attributes:
        gains: (n_types, n_markers), what abundance is multiplied by.
        saturation: (n_markers,), the intensity that no abundance exceeds.
        threshold: (n_markers,), subtracted; what is left below zero reads zero.
    """

    gains: Float64s
    saturation: Float64s
    threshold: Float64s

    def measure(self, abundances: Float64s, types: Int64s) -> Float32s:
        """Linear intensities: (n_events, n_markers) abundances, (n_events,) types → (n_events, n_markers) float32."""
        stained = self.gains[types] * abundances
        saturated = stained / (1 + stained / self.saturation)
        return np.clip(saturated - self.threshold, 0, None).astype(np.float32)


@dataclass(frozen=True)
class Biology:
    """The biology of the cells, the same in every batch.

    Attributes:
        shares: (n_types,) of the events; the last type is the one that controls lack.
        centres: (n_types, n_markers), log abundance.
        effects: (n_types, n_markers), what the treatment adds to log abundance.
        size: Standard deviation of the part of log abundance that all markers of a cell share.
        own: Standard deviation of each marker's part.
    """

    shares: Float64s
    centres: Float64s
    effects: Float64s
    size: float
    own: float

    def draw_types(self, n_events: int, generator: np.random.Generator, *, control: bool) -> Int64s:
        """(n_events,) types; a control has none of the last."""
        n_types = len(self.shares)
        shares = self.shares * np.r_[np.ones(n_types - 1), not control]
        return generator.choice(n_types, n_events, p=shares / shares.sum())

    def abundances(self, types: Int64s, treated: Masks, generator: np.random.Generator) -> Float64s:
        """Log-normal around each type's centre, with a part that all markers of a cell share (its size)."""
        size = generator.normal(0, self.size, (len(types), 1))
        own = generator.normal(0, self.own, (len(types), self.centres.shape[1]))
        return np.exp(self.centres[types] + self.effects[types] * treated[:, None] + size + own)


@dataclass(frozen=True)
class SimulatedTask:
    """The task, with all that a score may ask for.

    Attributes:
        populations: Control of the batch to be corrected, control of the reference, and the events to be edited.
        counterfactuals: (n_events, n_markers) linear intensities: the same events as the reference would measure them.
        types: (n_events,), 0 … n_types − 1; the controls lack the last.
        treated: (n_events,) bool.
        n_types: Kinds of cell.
    """

    populations: Populations
    counterfactuals: Float32s
    types: Int64s
    treated: Masks
    n_types: int

    @property
    def of_type(self) -> list[Masks]:
        """The events of each type: (n_events,) bool each."""
        return [self.types == number for number in range(self.n_types)]


def simulate(n_events: int, seed: int, batch_effect: float = 1.0, world: World = FEW_TYPES) -> SimulatedTask:
    """Draw biology, stainings and cells.

    Args:
        n_events: Number of events of each control, and of the events to be edited.
        seed: Draws everything.
        batch_effect: How far the stainings differ; 0 makes the batches one.
        world: The law of biology and stainings.
    """
    generator = np.random.default_rng(seed)
    biology = _draw_biology(world, generator)
    batch, reference = _draw_stainings(world, generator, batch_effect)
    controls: list[Float32s] = []
    for staining in (batch, reference):
        types = biology.draw_types(n_events, generator, control=True)
        abundances = biology.abundances(types, np.zeros(n_events, dtype=bool), generator)
        controls.append(staining.measure(abundances, types))
    types = biology.draw_types(n_events, generator, control=False)
    treated = generator.random(n_events) < 0.5
    abundances = biology.abundances(types, treated, generator)
    populations = Populations(controls[0], controls[1], batch.measure(abundances, types))
    return SimulatedTask(populations, reference.measure(abundances, types), types, treated, world.n_types)


def score(task: SimulatedTask, edited: Float32s) -> dict[str, float]:
    """How near edited events are to their counterfactuals, (n_events, n_markers) arcsinh units.

    Returns:
        gap_closed: Share of the summed EMD to the counterfactuals that the edit takes away.
        gap_closed_by_type: That share, summed over the true types.
        rmse_ratio: Per-cell error, edited over unedited: 1 is no better than doing nothing.
        rmse_ratio_lacking: That ratio on the type that the controls lack.
        auc: AUC of a classifier of edited events and their counterfactuals: 0.5 if it cannot tell them apart.
        effect_slope: The treatment's effect in edited events against the true one, over types and markers: 1 is kept.
    """
    before, truth = (np.arcsinh(events / MASS_COFACTOR) for events in (task.populations.events, task.counterfactuals))
    lacking = task.of_type[-1]
    drawn = [chosen for chosen in task.of_type if chosen.any()]
    gaps = [[emd(events[chosen], truth[chosen]).sum() for chosen in drawn] for events in (edited, before)]
    return {
        "gap_closed": 1 - emd(edited, truth).sum() / emd(before, truth).sum(),
        "gap_closed_by_type": 1 - sum(gaps[0]) / sum(gaps[1]),
        "rmse_ratio": _rmse(edited, truth) / _rmse(before, truth),
        "rmse_ratio_lacking": _rmse(edited[lacking], truth[lacking]) / _rmse(before[lacking], truth[lacking]),
        "auc": classifier_auc(edited, truth),
        "effect_slope": _slope(_effects(task, truth), _effects(task, edited)),
    }


def score_table(task: SimulatedTask, predictions: dict[str, Float32s], seed: int) -> pd.DataFrame:
    """A row for each method: method, seed, and the scores."""
    return pd.DataFrame([{"method": name, "seed": seed, **score(task, edited)} for name, edited in predictions.items()])


def _draw_biology(world: World, generator: np.random.Generator) -> Biology:
    centres = _draw_centres(world, world.n_types, generator)
    if world.n_families:
        of_family = _draw_centres(world, world.n_families, generator)[world.families]
        centres = np.where(generator.random(centres.shape) < world.own_markers, centres, of_family)
    effects = np.zeros(centres.shape)
    responding = generator.random((world.n_types, N_TREATED_MARKERS)) < 0.5
    effects[:, -N_TREATED_MARKERS:] = responding * generator.uniform(0.5, 1.5, responding.shape)
    fixed = np.array([*world.rare_shares, LACKING_SHARE])
    shares = generator.dirichlet(np.full(world.n_types - len(fixed), 5.0)) * (1 - fixed.sum())
    return Biology(np.r_[shares, fixed], centres, effects, world.size, world.own)


def _draw_centres(world: World, n_kinds: int, generator: np.random.Generator) -> Float64s:
    """(n_kinds, n_markers) log abundance, high or low."""
    on = generator.random((n_kinds, world.n_markers)) < world.share_on
    return np.where(on, generator.uniform(3, 6, on.shape), generator.uniform(*world.off, on.shape))


def _draw_stainings(world: World, generator: np.random.Generator, batch_effect: float) -> tuple[Staining, Staining]:
    """Two stainings around a common one: markers differ between batches, families and types within a marker."""
    n_types, n_markers = world.n_types, world.n_markers
    drawn = []
    for _ in range(2):
        gains = generator.normal(0, world.marker_gain, n_markers)
        gains = gains + generator.normal(0, world.type_gain, (n_types, n_markers))
        if world.n_families:
            gains += generator.normal(0, world.family_gain, (world.n_families, n_markers))[world.families]
        saturation = generator.normal(0, world.saturation, n_markers)
        threshold = generator.normal(0, world.threshold, n_markers)
        scales = (np.exp(batch_effect * logarithm) for logarithm in (gains, saturation, threshold))
        gains, saturation, threshold = scales
        drawn.append(Staining(gains, 1_000 * saturation, threshold))
    return drawn[0], drawn[1]


def _rmse(events: Float32s, truth: Float32s) -> float:
    return float(np.sqrt(np.mean((events - truth) ** 2, dtype=np.float64)))


def _effects(task: SimulatedTask, events: Float32s) -> Float64s:
    """Treated minus untreated mean of each type that has both: (n_types, n_markers) arcsinh units."""
    both = [(chosen & task.treated, chosen & ~task.treated) for chosen in task.of_type]
    return np.stack(
        [
            events[treated].mean(axis=0, dtype=np.float64) - events[untreated].mean(axis=0, dtype=np.float64)
            for treated, untreated in both
            if treated.any() and untreated.any()
        ]
    )


def _slope(true: Float64s, found: Float64s) -> float:
    """Least squares through the origin, where there is an effect."""
    there = np.abs(true) > EFFECT_FLOOR
    return float((true[there] * found[there]).sum() / (true[there] ** 2).sum())
