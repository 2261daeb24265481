import numpy as np
import pytest
import torch

from neuronedit.autoencoder import Autoencoder
from neuronedit.edit import CHUNK, EditStep, activations, fit_edit
from neuronedit.model import EditModel
from neuronedit.percentiles import percentiles
from tests.known_cells import intensities

PLANS = {
    "code step": [EditStep(operator="step")],
    "code linear": [EditStep()],
    "code neighbours": [EditStep(operator="neighbours", n_neighbours=5)],
    "code, then visible": [EditStep(), EditStep(layer="visible")],
    "every layer": [EditStep(layer=layer) for layer in ("encoder.1", "encoder.2", "code", "decoder.1", "decoder.2")],
}


@pytest.fixture(scope="module")
def source(model: EditModel) -> np.ndarray:
    return model.standardised(intensities(700, 10))


@pytest.fixture(scope="module")
def target(model: EditModel) -> np.ndarray:
    return model.standardised(intensities(700, 11, 0.7))


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_equal_source_and_target_leave_every_bit(
    autoencoder: Autoencoder, source: np.ndarray, plan: list[EditStep]
) -> None:
    edit = fit_edit("same", autoencoder, plan, source, source.copy())
    events = np.concatenate([source, source * 30, np.zeros_like(source[:3])])
    np.testing.assert_array_equal(edit.apply(autoencoder, events), events)


def test_editing_the_target_moves_it_again(autoencoder: Autoencoder, source: np.ndarray, target: np.ndarray) -> None:
    edit = fit_edit("edit", autoencoder, [EditStep(layer="visible")], source, target)
    assert np.abs(edit.apply(autoencoder, target) - target).mean() > 0.1


def test_a_constant_shift_of_the_markers_is_found_exactly(autoencoder: Autoencoder, source: np.ndarray) -> None:
    shift = np.array([0.5, -1.0, 0.0, 2.0, 0.25], np.float32)
    edit = fit_edit("shift", autoencoder, [EditStep(layer="visible")], source, source + shift)
    np.testing.assert_allclose(edit.apply(autoencoder, source) - source, np.tile(shift, (700, 1)), atol=1e-5)  # float32


def test_the_last_visible_step_lands_on_the_targets_percentiles(autoencoder: Autoencoder) -> None:
    generator = np.random.default_rng(0)
    before, after = (generator.normal(size=(5000, 5)).astype("f4"), generator.gamma(2, size=(5000, 5)).astype("f4"))
    edit = fit_edit("edit", autoencoder, PLANS["code, then visible"], before, after)
    edited = percentiles(edit.apply(autoencoder, before))
    # Between two percentiles the map is a line, so percentiles land to within the spacing of events.
    np.testing.assert_allclose(edited[1:-1], percentiles(after)[1:-1], atol=5e-3)


def test_the_plain_form_is_the_decoders_output(
    autoencoder: Autoencoder, source: np.ndarray, target: np.ndarray
) -> None:
    edit = fit_edit("paper", autoencoder, [EditStep(operator="step", form="plain")], source, target)
    code = activations(autoencoder, source, "code")
    moved = code + edit.steps[0].shift.at(code)
    expected = autoencoder.decode(torch.from_numpy(moved), "code").numpy()
    np.testing.assert_allclose(edit.apply(autoencoder, source), expected, atol=1e-6)


def test_the_residual_form_adds_what_the_decoder_changed(
    autoencoder: Autoencoder, source: np.ndarray, target: np.ndarray
) -> None:
    edit = fit_edit("edit", autoencoder, [EditStep()], source, target)
    code = torch.from_numpy(activations(autoencoder, source, "code"))
    moved = code + torch.from_numpy(edit.steps[0].shift.at(code.numpy()))
    change = (autoencoder.decode(moved, "code") - autoencoder.decode(code, "code")).numpy()
    np.testing.assert_allclose(edit.apply(autoencoder, source), source + change, atol=1e-6)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_split_gives_what_the_whole_gives(
    autoencoder: Autoencoder, source: np.ndarray, target: np.ndarray, plan: list[EditStep]
) -> None:
    edit = fit_edit("edit", autoencoder, plan, source, target)
    events = np.tile(source, (CHUNK // 700 + 2, 1))
    parts = np.concatenate([edit.apply(autoencoder, part) for part in np.array_split(events, 13)])
    # Matrix products of other sizes sum in another order.
    np.testing.assert_allclose(parts, edit.apply(autoencoder, events), atol=1e-4)


def test_the_input_is_not_modified(autoencoder: Autoencoder, source: np.ndarray, target: np.ndarray) -> None:
    edit = fit_edit("edit", autoencoder, PLANS["code, then visible"], source, target)
    before = source.copy()
    edit.apply(autoencoder, source)
    np.testing.assert_array_equal(source, before)
