"""``neuronedit.anndata``: a layer that is bit for bit the job's output, and an AnnData that stays as it was."""

import doctest

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import neuronedit.anndata
from neuronedit import Architecture, EditConfig, NeuronEdit, TrainingPlan, edit_table, load_model, save_model
from neuronedit.anndata import edit, fit
from neuronedit.errors import DataError, ModelError, PanelError
from neuronedit.estimator import matrices
from neuronedit.model.example import MARKERS, example_batches, example_cells, example_model

OTHERS = ["Time", "FSC-A"]
QUICK = {"network": Architecture(hidden=(8,), code=2), "training": TrainingPlan(epochs=1)}
QUANTILES = EditConfig(preset="quantile-map")


def by_table(adata, model, **how):
    """The same cells, edited by the job's own code."""
    frame = pd.DataFrame(adata.X, columns=adata.var_names).assign(batch_id=adata.obs["batch_id"].to_numpy())
    return edit_table(frame, model, **how)


def test_its_examples_show_what_it_gives():
    outcome = doctest.testmod(neuronedit.anndata, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert outcome.attempted > 8
    assert not outcome.failed


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_layer_is_bit_for_bit_what_transform_writes(adata, dtype, order, monkeypatch):
    monkeypatch.setattr(matrices, "ROWS", 300)  # three blocks
    adata = AnnData(np.asarray(adata.X, dtype, order=order), obs=adata.obs, var=adata.var)
    assert edit(adata, example_batches(), support=True) is None
    expected = by_table(adata, example_batches(), support=True)
    layer = adata.layers["neuronedit"]
    assert layer.dtype == (np.float32 if dtype == np.float32 else np.float64)
    for column, name in enumerate(adata.var_names):
        assert np.array_equal(layer[:, column], expected[name].to_numpy()), name
    assert np.array_equal(adata.obs["neuronedit_support"], expected["neuronedit_support"], equal_nan=True)
    assert adata.obs["neuronedit_support"].isna().tolist() == (adata.obs["batch_id"] == "day2").tolist()


def test_all_else_stays_as_it_was(adata):
    before = adata.copy()
    edit(adata, example_batches())
    del adata.layers["neuronedit"]
    record = adata.uns.pop("neuronedit")["neuronedit"]
    assert np.array_equal(adata.X, before.X)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    pd.testing.assert_frame_equal(adata.var, before.var)
    assert adata.uns.keys() == {"meta"}
    assert adata.uns["meta"].keys() == {"$CYT", "spill"}
    assert (record["edits"], record["strength"], record["layer"], record["scale"]) == ("by batch_id", 1.0, "X", "raw")


def test_what_is_no_marker_is_handed_on_and_the_reference_stays(adata):
    edit(adata, example_batches())
    layer, day2 = adata.layers["neuronedit"], (adata.obs["batch_id"] == "day2").to_numpy()
    assert np.array_equal(layer[:, adata.var_names.isin(OTHERS)], adata.X[:, adata.var_names.isin(OTHERS)])
    assert np.array_equal(layer[day2], adata.X[day2])
    assert (layer[~day2, 0] != adata.X[~day2, 0]).mean() > 0.99


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_a_sparse_matrix_gives_a_sparse_layer_of_the_same_values(adata, kind):
    thin = AnnData(kind(adata.X), obs=adata.obs, var=adata.var)
    edit(thin, example_batches())
    edit(adata, example_batches())
    assert sparse.issparse(thin.layers["neuronedit"])
    assert np.array_equal(thin.layers["neuronedit"].toarray(), adata.layers["neuronedit"])


def test_a_file_on_disk_is_edited_in_blocks_and_written_again(adata, tmp_path, monkeypatch):
    monkeypatch.setattr(matrices, "ROWS", 300)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    edit(backed, example_batches(), support=True)
    edit(adata, example_batches(), support=True)
    assert np.array_equal(backed.layers["neuronedit"], adata.layers["neuronedit"])
    adata.write_h5ad(tmp_path / "edited.h5ad")
    again = anndata.read_h5ad(tmp_path / "edited.h5ad")
    assert np.array_equal(again.layers["neuronedit"], adata.layers["neuronedit"])
    assert (
        again.uns["neuronedit"]["neuronedit"]["model_sha256"] == adata.uns["neuronedit"]["neuronedit"]["model_sha256"]
    )


def test_transformed_values_give_a_layer_of_the_same_scale(adata):
    arcsinh = adata.copy()
    columns = adata.var_names.isin(MARKERS)
    arcsinh.X[:, columns] = np.arcsinh(adata.X[:, columns] / 5)
    edit(arcsinh, example_batches(), scale="transformed")
    edit(adata, example_batches())
    layer, raw = arcsinh.layers["neuronedit"], adata.layers["neuronedit"]
    assert layer.dtype == np.float32
    np.testing.assert_allclose(layer[:, columns], np.arcsinh(raw[:, columns] / 5), atol=1e-4)
    day2 = (adata.obs["batch_id"] == "day2").to_numpy()
    assert np.array_equal(layer[day2], arcsinh.X[day2])
    assert np.array_equal(layer[:, ~columns], arcsinh.X[:, ~columns])


def test_chosen_events_alone_are_edited_and_told(adata):
    edit(adata, example_model(), where={"donor": "d1"}, key_added="half", strength=0.5)
    d1 = (adata.obs["donor"] == "d1").to_numpy()
    assert adata.obs["half"].tolist() == ["edited" if one else "not chosen" for one in d1]
    assert np.array_equal(adata.layers["half"][~d1], adata.X[~d1])
    expected = example_model().apply(adata[d1, [*MARKERS]].X, "pair", strength=0.5)
    assert np.array_equal(adata[d1, [*MARKERS]].layers["half"], expected)


def test_several_layers_stand_beside_each_other_and_one_is_written_over(adata):
    edit(adata, example_batches(), edits="day1", key_added="all")
    edit(adata, example_batches())
    edit(adata, example_batches(), strength=0.0)
    assert np.array_equal(adata.layers["neuronedit"], adata.X)
    assert set(adata.uns["neuronedit"]) == {"all", "neuronedit"}
    assert adata.uns["neuronedit"]["all"]["edits"] == "day1"
    edit(adata, example_batches(), layer="all", key_added="twice", edits="day1")
    assert adata.uns["neuronedit"]["twice"]["layer"] == "all"


def test_a_copy_leaves_the_original_alone_and_a_view_becomes_one(adata):
    edited = edit(adata, example_batches(), copy=True)
    assert not adata.layers
    assert "neuronedit" not in adata.uns
    assert "neuronedit" in edited.layers
    view = adata[adata.obs["batch_id"] == "day1"]
    with pytest.warns(UserWarning, match="view"):
        edit(view, example_batches())
    assert np.array_equal(view.layers["neuronedit"], edited[edited.obs["batch_id"] == "day1"].layers["neuronedit"])
    assert not adata.layers


def test_markers_are_found_by_the_column_marker_as_readfcs_writes_it(adata):
    edit(adata, example_batches())
    channels = [f"Channel{n}" for n in range(5)]
    markers = [name if name in MARKERS else "" for name in adata.var_names]
    other = AnnData(adata.X, obs=adata.obs, var=pd.DataFrame({"marker": markers}, index=channels))
    edit(other, example_batches())
    assert np.array_equal(other.layers["neuronedit"], adata.layers["neuronedit"])


def test_unknown_batches_may_pass_and_are_told(adata):
    adata.obs["batch_id"] = pd.Categorical(np.repeat(["day1", "day3"], 400))
    with pytest.raises(ModelError, match=r"adata: 'batch_id' is 'day3', a batch that the model does not know"):
        edit(adata, example_batches())
    assert not adata.layers
    edit(adata, example_batches(), unknown_batch="pass")
    assert adata.obs["neuronedit"].value_counts().to_dict() == {"edited": 400, "unknown batch": 400}
    assert np.array_equal(adata.layers["neuronedit"][400:], adata.X[400:])


def test_no_events_give_an_empty_layer(adata):
    none = adata[:0].copy()
    edit(none, example_batches(), support=True, unknown_batch="pass")
    assert none.layers["neuronedit"].shape == (0, 5)


def test_what_does_not_fit_is_told_and_nothing_is_changed(adata):
    adata.layers["arcsinh"] = np.arcsinh(adata.X / 5)
    adata.layers["NaN"] = np.where(adata.X[7, 2] == adata.X, np.nan, adata.X)
    model = example_batches()
    refused = [
        (PanelError, r"adata.var: marker 'CD3' is missing", adata[:, ["CD4", "pSTAT1"]].copy(), {}),
        (DataError, r"adata: expected raw intensities; 99.9% of the values are at most", adata, {"layer": "arcsinh"}),
        (DataError, r"adata: expected transformed values; 0.1% of them are beyond", adata, {"scale": "transformed"}),
        (DataError, r"scale is 'arcsinh'; expected 'raw' or 'transformed'", adata, {"scale": "arcsinh"}),
        (DataError, r"adata has no layer 'raw'; expected one of 'arcsinh', 'NaN'", adata, {"layer": "raw"}),
        (DataError, r"adata: marker 'CD3' has NaN in row 7", adata, {"layer": "NaN"}),
        (DataError, r"adata.obs: the column 'batch' is missing", adata, {"batch_key": "batch"}),
        (ModelError, r"The model has no edit 'day9'", adata, {"edits": "day9"}),
        (DataError, r"adata has the layer 'arcsinh', which edit would write over", adata, {"key_added": "arcsinh"}),
        (DataError, r"adata has the column 'donor' of obs, which edit would write", adata, {"key_added": "donor"}),
    ]
    for error, message, given, how in refused:
        with pytest.raises(error, match=message):
            edit(given, model, **how)
    with pytest.raises(ModelError, match="nowhere: not a neuronedit model"):
        edit(adata, "nowhere")
    assert set(adata.layers) == {"arcsinh", "NaN"}
    assert set(adata.uns) == {"meta"}


def test_raw_values_that_are_small_by_nature_are_not_refused(adata):
    """Where the model learned on intensities as small, nothing tells that they were transformed."""
    model = example_batches()
    tiny = AnnData(adata[:, [*MARKERS]].X / 100, obs=adata.obs, var=pd.DataFrame(index=[*MARKERS]))
    with pytest.raises(DataError, match="expected raw intensities"):
        edit(tiny, model)
    learned = NeuronEdit(kind="controls", target="day2", transforms=0.05, edit=QUANTILES, **QUICK)
    learned.fit(pd.DataFrame(tiny.X, columns=[*MARKERS]), tiny.obs["batch_id"])
    edit(tiny, learned)
    assert "neuronedit" in tiny.layers


def test_fit_learns_what_the_estimator_learns_on_the_same_events(adata, tmp_path):
    estimator = NeuronEdit(kind="controls", target="day2", edit=QUANTILES, strength=0.5, **QUICK)
    learned = fit(adata, "batch_id", estimator, sample_key="donor", markers=MARKERS)
    frame = pd.DataFrame(adata[:, [*MARKERS]].X, columns=[*MARKERS])
    expected = NeuronEdit(kind="controls", target="day2", edit=QUANTILES, **QUICK)
    expected.fit(frame, adata.obs["batch_id"], sample=adata.obs["donor"])
    assert not hasattr(estimator, "model_")
    assert (learned.model_.batch_column, learned.model_.design.sample_column) == ("batch_id", "donor")
    edit(adata, learned)
    assert adata.uns["neuronedit"]["neuronedit"]["strength"] == 0.5
    edit(adata, expected.model_, strength=0.5, key_added="again")
    assert np.array_equal(adata.layers["neuronedit"], adata.layers["again"])
    save_model(learned.model_, tmp_path / "model")
    edit(adata, tmp_path / "model", key_added="loaded", strength=0.5)
    assert np.array_equal(adata.layers["neuronedit"], adata.layers["loaded"])
    assert load_model(tmp_path / "model").panel.markers == MARKERS


def test_fit_takes_transformed_values_the_markers_that_var_names_and_refuses_others(adata):
    events = np.concatenate([example_cells(0), example_cells(1, treated=1.0)])
    obs = pd.DataFrame({"treated": np.repeat(["no", "yes"], 400)}, index=np.arange(800).astype(str))
    cells = AnnData(np.column_stack([events, np.ones(800, np.float32)]), obs=obs)
    cells.var_names = [*MARKERS, "Time"]
    cells.var["is_marker"] = [True, True, True, False]
    cells.layers["arcsinh"] = np.arcsinh(cells.X / 5)
    quick = NeuronEdit(edit=QUANTILES, **QUICK)
    raw, transformed = fit(cells, "treated", quick), fit(cells, "treated", quick, layer="arcsinh", scale="transformed")
    assert raw.model_.panel.markers == MARKERS
    np.testing.assert_allclose(
        transformed.transform(pd.DataFrame(events, columns=[*MARKERS])),
        raw.transform(pd.DataFrame(events, columns=[*MARKERS])),
        rtol=1e-3,
        atol=1e-3,
    )
    with pytest.raises(DataError, match="expected raw intensities"):
        fit(cells, "treated", quick, layer="arcsinh")
    with pytest.raises(DataError, match=r"adata.obs: the column 'drug' is missing"):
        fit(cells, "drug", quick)
    with pytest.raises(PanelError, match=r"adata.var: marker 'CD8' is missing"):
        fit(cells, "treated", quick, markers=["CD8"])
    with pytest.raises(ValueError, match="target is 'maybe'; expected a domain of y, found 'no', 'yes'"):
        fit(cells, "treated", NeuronEdit(target="maybe", edit=QUANTILES, **QUICK))


def test_a_layer_is_not_edited_into_itself_and_others_entries_are_kept(adata):
    edit(adata, example_batches())
    with pytest.raises(DataError, match=r"adata has the layer 'neuronedit', which edit would write over"):
        edit(adata, example_batches(), layer="neuronedit")
    adata.uns["neuronedit"] = "a note of mine"
    with pytest.raises(
        DataError, match=r"adata.uns\['neuronedit'\] is a str; expected what edit wrote there. Rename it"
    ):
        edit(adata, example_batches(), key_added="other")


def test_an_edit_that_is_written_over_leaves_nothing_of_what_it_said(adata):
    edit(adata, example_model(), where={"donor": "d1"}, support=True)
    edit(adata, example_model())
    assert not {"neuronedit", "neuronedit_support"} & {*adata.obs}
