"""The transformer of scikit-learn: its own checks, and what it learns beside the jobs' model."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from neuronedit import (
    Architecture,
    EditConfig,
    Linear,
    NeuronEdit,
    PairDesign,
    Panel,
    TrainingPlan,
    fit_model,
    load_model,
)
from neuronedit.estimator.transformer import DOMAIN

SMALL = {"network": Architecture(hidden=(8,), code=2), "training": TrainingPlan(epochs=2, minibatch=128)}
QUANTILES = EditConfig(preset="quantile-map")


@pytest.fixture(scope="module")
def cells():
    """Raw intensities of two markers of 300 cells in each of three domains: in b and c the first is 2 and 4 times."""
    intensities = np.random.default_rng(0).lognormal(3.0, 0.5, (900, 2))
    intensities[300:600, 0] *= 2
    intensities[600:, 0] *= 4
    return intensities


@pytest.fixture(scope="module")
def domains():
    return np.repeat(["a", "b", "c"], 300)


@pytest.fixture(scope="module")
def pair(cells, domains):
    return NeuronEdit(source="a", target="b", edit=QUANTILES, **SMALL).fit(cells, domains)


@pytest.fixture(scope="module")
def controls(cells, domains):
    edit = EditConfig(preset="quantile-map", inverse=True)
    return NeuronEdit(kind="controls", target="a", edit=edit, **SMALL).fit(cells, domains)


def rise(edited, cells):
    return float(np.median(edited[:, 0] / cells[:, 0]))


@parametrize_with_checks([NeuronEdit(min_events=1, edit=QUANTILES, **SMALL)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_a_pair_is_what_fit_model_learns_of_the_same_events(cells, domains):
    own = NeuronEdit(source="a", target="b", random_state=7, **SMALL).fit(cells, domains)
    populations = {
        name: cells[domains == key] for name, key in {"source": "a", "target": "b", "extrapolation": "c"}.items()
    }
    training = SMALL["training"].model_copy(update={"seed": 7})
    design, panel = PairDesign.of_arrays(), Panel(("x0", "x1"), (5.0, 5.0))
    fitted = fit_model(populations, panel, design, network=SMALL["network"], training=training)
    assert np.array_equal(own.transform(cells), fitted.model.apply(cells, "pair"))
    assert own.expected_error_ == fitted.model.facts["expected_extrapolation_error"]["pair"]


def test_of_a_pair_rows_of_the_target_stay_where_domains_are_given(pair, cells, domains):
    edited = pair.transform(cells, domain=domains)
    assert np.array_equal(edited[domains == "b"], cells[domains == "b"])
    for other in "ac":  # c is no side, and is led as the source is
        chosen = domains == other
        assert rise(edited[chosen], cells[chosen]) == pytest.approx(2, abs=0.1)
    assert rise(pair.transform(cells[domains == "b"]), cells[domains == "b"]) == pytest.approx(2, abs=0.1)


def test_controls_lead_each_domain_to_the_target(controls, cells, domains):
    edited = controls.transform(cells, domain=domains)
    assert controls.edits_ == ("b", "c")
    for domain, times in {"a": 1, "b": 1 / 2, "c": 1 / 4}.items():
        assert rise(edited[domains == domain], cells[domains == domain]) == pytest.approx(times, rel=0.15)
    assert np.array_equal(edited[domains == "a"], cells[domains == "a"])


def test_the_inverse_leads_back(controls, pair, cells, domains):
    back = controls.inverse_transform(controls.transform(cells, domain=domains), domain=domains)
    assert np.median(np.abs(back / cells - 1)) < 0.02
    assert not hasattr(pair, "inverse_transform")
    assert hasattr(NeuronEdit(edit=EditConfig(inverse=True)), "inverse_transform")


def test_fit_transform_edits_each_row_of_controls_by_its_domain(controls, cells, domains):
    assert np.array_equal(clone(controls).fit_transform(cells, domains), controls.transform(cells, domain=domains))


def test_pooled_controls_are_all_led_to_all_of_them(cells, domains):
    pooled = NeuronEdit(kind="controls", target="pooled", edit=QUANTILES, **SMALL).fit(cells, domains)
    assert pooled.edits_ == ("a", "b", "c")


def test_support_tells_rows_that_nothing_learned_from_was_like(pair, controls, cells, domains):
    far = np.vstack([cells[:100], cells[:100] * 1e4])
    scores = pair.support(far)
    assert (scores[:100] > 1).mean() < 0.1
    assert (scores[100:] > 1).all()
    assert np.isnan(controls.support(cells, domain=domains)[domains == "a"]).all()


def test_a_model_folder_is_the_jobs_own(controls, cells, domains, tmp_path):
    controls.to_model_folder(tmp_path / "model")
    model = load_model(tmp_path / "model")
    assert model.batch_column == DOMAIN
    expected = controls.transform(cells, domain=domains)
    assert np.array_equal(model.transform(cells, domains).intensities, expected)
    again = NeuronEdit.from_model_folder(tmp_path / "model")
    assert np.array_equal(again.transform(cells, domain=domains), expected)
    assert (again.expected_error_, again.edits_, again.target_) == (controls.expected_error_, ("b", "c"), "a")
    with pytest.raises(ValueError, match="exists"):
        controls.to_model_folder(tmp_path / "model")
    with pytest.raises(ValueError, match="not a neuronedit model"):
        NeuronEdit.from_model_folder(tmp_path / "nothing")


def test_a_fitted_transformer_is_pickled_with_its_model(pair, cells):
    assert np.array_equal(pickle.loads(pickle.dumps(pair)).transform(cells), pair.transform(cells))


def test_tables_keep_their_columns_and_float32_its_type(cells, domains):
    table = pd.DataFrame(cells.astype(np.float32), columns=["CD4", "CD8"], index=np.arange(len(cells)) + 5)
    learned = NeuronEdit(source="a", target="b", edit=QUANTILES, **SMALL).set_output(transform="pandas")
    edited = learned.fit(table, pd.Series(domains)).transform(table)
    assert learned.model_.panel.markers == ("CD4", "CD8")
    assert list(edited.columns) == list(learned.get_feature_names_out()) == ["CD4", "CD8"]
    assert edited.index.equals(table.index)
    assert set(edited.dtypes) == {np.dtype(np.float32)}
    with pytest.raises(ValueError, match="feature names"):
        learned.transform(table[["CD8", "CD4"]])


def test_the_expected_error_chooses_in_a_grid_search(cells, domains):
    two = domains != "c"
    grid = {"edit": [EditConfig(preset="quantile-map"), EditConfig(preset="strata")]}
    search = GridSearchCV(NeuronEdit(**SMALL), grid, cv=StratifiedKFold(2)).fit(cells[two], domains[two])
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_domains_are_routed_through_a_pipeline(controls, cells, domains):
    with config_context(enable_metadata_routing=True):
        step = clone(controls).set_transform_request(domain=True).set_fit_request(sample=False)
        steps = make_pipeline(step, FunctionTransformer(np.arcsinh))
        steps.fit(cells, domains, domain=domains)
        edited = steps.transform(cells, domain=domains)
    assert np.array_equal(edited, np.arcsinh(controls.transform(cells, domain=domains)))


def test_samples_are_left_out_to_estimate_the_error(cells, domains):
    learned = NeuronEdit(source="a", target="b", edit=QUANTILES, **SMALL)
    learned.fit(cells, domains, sample=np.tile(["P1", "P2", "P3"], 300))
    assert learned.model_.facts["evidence"]["pair"]["samples"]["column"] == "sample"
    assert len(learned.model_.facts["evidence"]["pair"]["samples"]["units"]) == 3


def test_transformed_values_are_taken_as_they_are(cells, domains):
    transformed = np.arcsinh(cells / 5)
    learned = NeuronEdit(source="a", target="b", transforms=Linear(), edit=QUANTILES, **SMALL).fit(transformed, domains)
    moved = np.median(learned.transform(transformed) - transformed, axis=0)
    assert moved == pytest.approx([np.log(2), 0], abs=0.05)


@pytest.mark.parametrize(
    ("settings", "y", "message"),
    [
        ({"kind": "both"}, "aab", r"^kind is 'both'; expected 'pair' or 'controls'\.$"),
        (
            {"target": "d"},
            "abc",
            r"^target is 'd'; expected a domain of y, found 'a', 'b', 'c'.*Correct target, or y\.$",
        ),
        ({"source": "A"}, "abc", r"^source is 'A'; .*; nearest name 'a'\. Correct source, or y\.$"),
        ({"source": "a", "target": "a"}, "abc", r"^source and target are both 'a'; expected two domains"),
        ({}, "aaa", r"^y has 1 class, 'a'; expected at least 2 domains"),
        ({"min_events": 301}, "abc", r"^The domain 'c' has 300 rows; expected at least 301 .* lower min_events\.$"),
        ({"transforms": (5.0,)}, "abc", r"^The panel has 2 markers but 1 transforms"),
        ({"edit": EditConfig(markers=("CD99",))}, "abc", r"CD99"),
    ],
)
def test_what_cannot_be_learned_is_told(cells, settings, y, message):
    with pytest.raises(ValueError, match=message):
        NeuronEdit(**SMALL | settings).fit(cells, np.repeat(list(y), 300))


def test_missing_domains_are_told(cells, controls):
    with pytest.raises(ValueError, match=r"^y has 2 missing values; expected one for each row\. Fill them\.$"):
        NeuronEdit(**SMALL).fit(cells, np.array([None, None, *["a"] * 898], dtype=object))
    with pytest.raises(
        ValueError, match=r"^domain is missing; expected the domain of each row.*'b', 'c'.*domain=\.\.\."
    ):
        controls.transform(cells)


def test_rows_of_unknown_domains_are_an_error_or_pass(controls, cells):
    unknown = np.repeat(["b", "B2"], 450)
    with pytest.raises(ValueError, match=r"^domain has 'B2'; expected domains with an edit, 'b', 'c', or 'a'; nearest"):
        controls.transform(cells, domain=unknown)
    passing = pickle.loads(pickle.dumps(controls)).set_params(unknown_domain="pass")
    edited = passing.transform(cells, domain=unknown)
    assert np.array_equal(edited[450:], cells[450:])
    assert not np.array_equal(edited[:450], cells[:450])
