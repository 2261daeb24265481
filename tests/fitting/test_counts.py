"""Counts of mass cytometers, whole or randomised: what docs/guide/ingest.md says of them."""

import numpy as np
import pytest

from neuronedit.cells.design import ControlsDesign
from neuronedit.cells.panel import Panel
from neuronedit.edits.plans import EditConfig
from neuronedit.fitting.fit import fit_model
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan

N_EVENTS = 4000
MARKERS = tuple(f"CD{number}" for number in range(1, 9))


def counts(seed: int, gain: float = 1.0) -> np.ndarray:
    """Markers, dim and bright ones, each absent in a third of the events; hardly two events are alike."""
    rng = np.random.default_rng(seed)
    shape = N_EVENTS, len(MARKERS)
    rates = gain * rng.gamma(2.0, [3.0, 30.0] * (len(MARKERS) // 2), shape) * (rng.random(shape) > 0.33)
    return rng.poisson(rates).astype(np.float32)


def randomised(events: np.ndarray, seed: int = 9) -> np.ndarray:
    """As the instrument's software does: less a number in [0, 1)."""
    return (events - np.random.default_rng(seed).random(events.shape)).astype(np.float32)


def edited(source: np.ndarray, target: np.ndarray, events: np.ndarray) -> np.ndarray:
    fitted = fit_model(
        {"1": target, "2": source},
        Panel(MARKERS, (5.0,) * len(MARKERS)),
        ControlsDesign.of_arrays(reference="1"),
        network=Architecture(hidden=(4,), code=2),
        training=TrainingPlan(epochs=1, minibatch=256),
        edit=EditConfig(preset="quantile-map"),
    )
    return fitted.model.apply(events, "2")


KINDS = {"whole": lambda events: events, "randomised": randomised}


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_as_many_events_are_at_zero_or_below_as_in_the_target_but_for_one_picket(source, target):
    before, others = (KINDS[source](counts(seed, gain=0.3)) for seed in (0, 2))
    after = KINDS[target](counts(1, gain=1.5))
    found, wanted = ((events <= 0).mean(axis=0) for events in (edited(before, after, others), after))
    picket = (before == 1).mean(axis=0)  # goes to zero whole, or not at all
    assert (np.abs(found - wanted) < 0.03 + picket).all()  # three standard errors of a share of 4,000 events


def test_whole_counts_keep_their_zeros_and_ties_and_are_whole_no_more():
    events = counts(2)
    found = edited(counts(0), counts(1, gain=1.5), events)
    assert (found == 0)[events == 0].mean() > 0.8
    for count in (3, 7):
        assert len(np.unique(found[events[:, 0] == count, 0])) == 1, "a picket stays one"
    assert (found != np.rint(found)).any()


def test_randomised_counts_stay_randomised_and_get_no_zeros():
    events = randomised(counts(2))
    found = edited(randomised(counts(0)), randomised(counts(1, gain=1.5)), events)
    assert not (found == 0).any()
    assert len(np.unique(found[:, 0])) == len(np.unique(events[:, 0]))
    assert np.quantile(np.ceil(found), [0.25, 0.5, 0.75, 0.95], axis=0) == pytest.approx(
        np.quantile(counts(1, gain=1.5), [0.25, 0.5, 0.75, 0.95], axis=0), rel=0.1, abs=1
    ), "taking the ceiling afterwards gives counts like the target's"


def test_no_value_is_capped_at_the_largest_of_the_target():
    target, events = counts(1, gain=1.5), counts(2)
    events[0] = 10_000
    assert (edited(counts(0), target, events)[0] > 2 * target.max(axis=0)).all()
