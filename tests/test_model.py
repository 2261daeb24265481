import numpy as np
import pytest

from neuronedit.design import ControlsDesign
from neuronedit.edit import EditStep
from neuronedit.errors import ModelError
from neuronedit.model import EditModel, fit_edits, pool_equally
from tests.known_cells import intensities


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_identity_edit_returns_raw_intensities_bit_for_bit(model: EditModel, dtype: type) -> None:
    same = model.standardised(intensities(400, 1))
    design = ControlsDesign(control={"role": "c"}, reference="a")
    pairs = design.edits({"control a": 400, "control b": 400})
    plan = [EditStep(operator="neighbours", n_neighbours=3), EditStep(layer="visible")]
    edits = fit_edits(model.autoencoder, {"control a": same, "control b": same.copy()}, pairs, plan)
    identity = EditModel(model.panel, model.scaling, model.autoencoder, edits, design)
    raw = np.array([[0.0, -0.0, 1e-30, -2.5, 7.3], [1e6, 12345.678, -1e4, 0.1, 3.0]], dtype=dtype)
    edited = identity.apply(raw, "b")
    assert edited.dtype == dtype
    assert edited.tobytes() == raw.tobytes()


def test_the_reference_batch_passes_bit_for_bit_and_others_move(model: EditModel) -> None:
    raw = intensities(300, 9)
    batches = np.array(["ref", "b1", "b2"] * 100, dtype=object)
    edited, done = model.transform(raw, batches)
    assert edited[batches == "ref"].tobytes() == raw[batches == "ref"].tobytes()
    assert list(done[:3]) == ["reference", "edited", "edited"]
    for batch in ("b1", "b2"):
        np.testing.assert_allclose(edited[batches == batch], model.apply(raw[batches == batch], batch), rtol=1e-6)
        assert (edited[batches == batch] != raw[batches == batch]).any()


def test_an_unknown_batch_is_an_error_that_lists_the_known_ones(model: EditModel) -> None:
    message = r"x\.parquet: 'batch_id' is 'b3', a batch .*known: 'b1', 'b2', 'ref'.*nearest name 'b\d'.*unknown_batch"
    with pytest.raises(ModelError, match=message):
        model.transform(intensities(2, 0), ["b1", "b3"], where="x.parquet")


def test_a_missing_batch_is_an_error(model: EditModel) -> None:
    with pytest.raises(ModelError, match="'batch_id' has no value"):
        model.transform(intensities(2, 0), ["b1", None])


def test_unknown_batches_pass_flagged_when_asked(model: EditModel) -> None:
    raw = intensities(3, 0)
    edited, done = model.transform(raw, ["b9", float("nan"), "ref"], unknown_batch="pass")
    assert edited.tobytes() == raw.tobytes()
    assert list(done) == ["unknown batch", "unknown batch", "reference"]


def test_a_controls_model_needs_batches(model: EditModel) -> None:
    with pytest.raises(ModelError, match="needs the column 'batch_id'"):
        model.transform(intensities(2, 0), None)


def test_a_pair_model_edits_every_event(pair_model: EditModel) -> None:
    raw = intensities(50, 0)
    edited, done = pair_model.transform(raw, None)
    assert set(done) == {"edited"}
    np.testing.assert_array_equal(edited, pair_model.apply(raw, "pair"))


def test_an_unknown_edit_is_named_with_the_nearest(model: EditModel) -> None:
    with pytest.raises(ModelError, match=r"no edit 'B1' \(edits: 'b1', 'b2'; nearest name 'b1'\)"):
        model.apply(intensities(2, 0), "B1")


def test_no_events_are_no_error(model: EditModel) -> None:
    edited, done = model.transform(intensities(0, 0), [])
    assert edited.shape == (0, 5)
    assert len(done) == 0


def test_pooling_weighs_populations_equally() -> None:
    small, large = np.zeros((10, 1), np.float32), np.ones((95, 1), np.float32)
    pooled = pool_equally([small, large])
    assert len(pooled) == 190
    assert pooled.mean() == 0.5
