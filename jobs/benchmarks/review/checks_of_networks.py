"""Checks of the review of networks, and of the options of training: rows 14–19, 23 and 25."""

from collections.abc import Sequence

import numpy as np

from neuronedit.edits.operators.table import EditStep
from neuronedit.edits.steps import apply_steps, fit_steps
from neuronedit.fitting.drift import edit_drift
from neuronedit.fitting.update import replayed
from neuronedit.network.autoencoder import CODE, Architecture, Autoencoder
from neuronedit.network.chunks import activations, reconstruction_errors
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.training import continue_training
from neuronedit.review.populations.next_sample import next_sample
from neuronedit.review.stability.cycle import cycle
from neuronedit.review.stability.health import measure_health, neuron_health
from neuronedit.review.stability.pruning import prune
from neuronedit.review.stability.refits import refit_consistency

from .checks import Measure
from .penalties import importance_penalty, train_held, uniform_penalty
from .planted import (
    DEAD,
    EDITED_MARKERS,
    EDITED_NEURONS,
    MARKERS,
    SHIFT,
    UNSEEN_TYPES,
    planted_cells,
    planted_model,
    trained_autoencoder,
)
from .review_problems import Problems

Measures = Sequence[Measure]

DECORRELATION = 0.1

ON_TARGET = [MARKERS.index(marker) for marker in EDITED_MARKERS]

N_TRAINED = 2_000
"""Events of each population that a network is trained on."""

COMPETING_CODE, N_NETWORKS = 128, 4
"""Blocks of 2 leave 64 winners for 40 markers. One network's error differs from the next one's by a fifth."""

MORE = TrainingPlan(epochs=30, minibatch=256, learning_rate=3e-3)
PENALTY = 0.1


def health(problems: Problems) -> Measures:
    """Row 14."""
    found = neuron_health(problems.planted)
    return (
        Measure("neurons wrongly called dead or alive", len(set(np.flatnonzero(found.dead)) ^ set(DEAD)), most=0),
        Measure("pairs wrongly called duplicates or not", len(set(found.duplicates) ^ {EDITED_NEURONS}), most=0),
    )


def decorrelation(problems: Problems) -> Measures:
    """Row 15."""
    events = planted_cells(N_TRAINED, 5).markers
    networks = problems.trained.autoencoder, trained_autoencoder(decorrelation=DECORRELATION)
    before, after = (measure_health(activations(network, events, CODE)).max_abs_corr for network in networks)
    errors = [float(reconstruction_errors(network, events).mean()) for network in networks]
    return (
        Measure("largest correlation without", before),
        Measure("with the penalty, times that", after / before, most=0.75),
        Measure("reconstruction error, times", errors[1] / errors[0], most=1.05),
    )


def pruning(problems: Problems) -> Measures:
    """Row 16."""
    found = prune(problems.planted, seed=0)
    return (
        Measure("gates wrongly closed or open", len(set(found.closed) ^ set(DEAD)), most=0),
        Measure("suggested width", found.suggested_width, 26, 26),
    )


def competition(problems: Problems) -> Measures:
    """Row 17: as many neurons win as without blocks would be enough for the panel."""
    plain, twos, fours = (_on_target_error(block) for block in (1, 2, 4))
    return (
        Measure("on-target error of a cell, sd, plain", plain),
        Measure("blocks of 2, times that", twos / plain, most=1.1),
        Measure("blocks of 4, times that", fours / plain),
    )


def _on_target_error(block: int) -> float:
    """RMS over cells that the networks were not trained on, and the markers that the planted edit moves; their mean."""
    source, target, events = (
        planted_cells(N_TRAINED, seed, shift=shift).markers for seed, shift in ((0, 0), (1, SHIFT), (2, 0))
    )
    architecture, errors = Architecture(hidden=(64,), code=COMPETING_CODE), []
    for seed in range(N_NETWORKS):
        network = trained_autoencoder(architecture=architecture, block=block, seed=seed)
        edited = apply_steps(fit_steps(network, (EditStep(),), source, target), network, events)
        errors.append(float(np.sqrt(np.square(edited - events - SHIFT)[:, ON_TARGET].mean())))
    return float(np.mean(errors))


def refits(problems: Problems) -> Measures:
    """Row 18."""
    subject = problems.trained
    same = refit_consistency(subject, [subject.autoencoder], seed=0)
    others = refit_consistency(subject, problems.refits, seed=0)
    return (
        Measure("R² of an identical refit", same.mean_r2, 1 - 1e-9, 1 + 1e-9),
        Measure("best-match r", same.mean_match, 1 - 1e-9, 1 + 1e-9),
        Measure("R² of other seeds", others.mean_r2),
        Measure("best-match r", others.mean_match),
    )


def cycles(problems: Problems) -> Measures:
    """Row 19."""
    found = cycle(problems.planted, problems.model, seed=0)
    return (
        # Rounding of float32 alone.
        Measure("drift when encoded again", found.mean_drift, most=1e-6),
        Measure("left after edit and inverse (RMS, sd)", found.rmse, most=1e-5),
    )


def next_to_measure(problems: Problems) -> Measures:
    """Row 23."""
    table = next_sample(problems.trained, problems.refits, problems.by_type, seed=0).table()
    unseen = table["population"].isin(UNSEEN_TYPES)
    least, largest = table.loc[unseen, "discrepancy"].min(), table.loc[~unseen, "discrepancy"].max()
    return (
        Measure("least discrepancy of an unseen type", float(least)),
        Measure("times the largest of a seen one", float(least / largest), least=1),
    )


def continual(problems: Problems) -> Measures:
    """Row 25: a network goes on with types that it has not seen."""
    start = problems.trained.autoencoder
    old = {"source": problems.trained.source.markers, "target": problems.trained.target.markers}
    new = {"new": planted_cells(N_TRAINED, 7, unseen=True).markers}
    networks = {
        "no penalty": continue_training(start, new, MORE)[0],
        "importance penalty": train_held(start, new, MORE, importance_penalty(start, old, PENALTY)),
        "uniform penalty": train_held(start, new, MORE, uniform_penalty(start, PENALTY)),
        "replay": continue_training(start, replayed(old, new, N_TRAINED), MORE)[0],
    }
    drifts = {name: _drift(start, network) for name, network in networks.items()}
    errors = {name: reconstruction_errors(network, new["new"]).mean() for name, network in networks.items()}
    return (
        Measure(
            "old edit's drift by replay, times that by no penalty", drifts["replay"] / drifts["no penalty"], most=1
        ),
        *(Measure(f"drift, {name}", drift) for name, drift in drifts.items()),
        *(Measure(f"error on new types, {name}", float(error)) for name, error in errors.items()),
    )


def _drift(before: Autoencoder, after: Autoencoder) -> float:
    """The drift of the planted edit's results when the network went on learning, in units of the edit's own change."""
    cells = planted_cells(N_TRAINED, 0), planted_cells(N_TRAINED, 1, shift=SHIFT)
    old, new = (planted_model(*cells, autoencoder=network) for network in (before, after))
    return edit_drift("pair", old, new, cells[0].labelled.intensities).relative
