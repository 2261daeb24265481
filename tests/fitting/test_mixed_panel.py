"""Several transforms in one panel, from fit to file: mass by arcsinh, fluorescence by logicle, a score as it is."""

import numpy as np
import pytest
import torch

from neuronedit.cells.design import PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.cells.transforms import Linear, Logicle
from neuronedit.edits.plans import EditConfig
from neuronedit.errors import DataError
from neuronedit.fitting.fit import fit_model
from neuronedit.model.edit_model import EditModel
from neuronedit.model.route import Route
from neuronedit.model.saved.files import load_model, save_model
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan

PANEL = Panel(("CD3", "CD4", "score"), (5.0, Logicle(), Linear()))


def drawn(n_events: int, seed: int, gain: float = 1.0, shift: float = 0.0) -> np.ndarray:
    """CD4 has values below zero, as compensated fluorescence has; CD3 a spike at zero."""
    generator = np.random.default_rng(seed)
    cells = np.column_stack(
        [
            gain * generator.lognormal(3, 0.5, n_events) * (generator.random(n_events) > 0.2),
            gain * generator.lognormal(6, 1, n_events) + generator.normal(0, 100, n_events),
            generator.normal(2, 1, n_events) + shift,
        ]
    )
    return cells.astype(np.float32)


@pytest.fixture(scope="module")
def model() -> EditModel:
    torch.set_num_threads(1)
    populations = {"source": drawn(2000, 0), "target": drawn(2000, 1, gain=2.0, shift=0.5)}
    return fit_model(
        populations,
        PANEL,
        PairDesign.of_arrays(),
        network=Architecture(hidden=(8,), code=3),
        training=TrainingPlan(epochs=2, minibatch=128),
        edit=EditConfig(preset="neurons-then-markers", serve="teacher"),
    ).model


def test_every_marker_is_led_to_the_target_on_its_own_scale(model):
    edited, target = model.apply(drawn(2000, 2), "pair"), drawn(2000, 3, gain=2.0, shift=0.5)
    # 2,000 lognormal events scatter by 2 % about their median, further ones by a few times as much.
    for marker in (0, 1):
        quantiles = [np.quantile(events[:, marker], [0.4, 0.6, 0.8]) for events in (edited, target)]
        np.testing.assert_allclose(*quantiles, rtol=0.12)
    np.testing.assert_allclose(edited[:, 2].mean(), target[:, 2].mean(), atol=0.1)
    assert (edited[:, 1] < 0).any()
    # What is led to zero is at exactly zero, as many as in the target.
    assert np.isclose((edited[:, 0] == 0).mean(), 0.2, atol=0.05)


def test_zero_intensity_has_the_bits_of_a_measured_zero(model):
    zeros = model.standardised(np.zeros((3, 3)))
    assert (zeros == model.scaling.zeros).all()
    assert model.scaling.zeros[1] == ((Logicle().forward(0.0) - model.scaling.means) / model.scaling.spreads)[1]


def test_a_loaded_model_edits_bit_for_bit_as_the_saved_one(model, tmp_path):
    save_model(model, tmp_path / "model")
    loaded, events = load_model(tmp_path / "model"), drawn(300, 4)
    assert loaded.panel == PANEL
    assert loaded.scaling.transforms == PANEL.transforms
    saved, again = (each.transform(events, None, Route(support=True)) for each in (model, loaded))
    assert again.intensities.tobytes() == saved.intensities.tobytes()
    assert again.support.tobytes() == saved.support.tobytes()


def test_an_edit_of_no_strength_returns_every_bit(model):
    events = drawn(300, 5)
    assert model.apply(events, "pair", strength=0.0).tobytes() == events.tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_told_for_every_transform(model, value):
    for column, marker in enumerate(PANEL.markers):
        events = drawn(5, 6)
        events[2, column] = value
        with pytest.raises(DataError, match=f"Marker '{marker}' has 1 values that are not finite"):
            model.apply(events, "pair")
