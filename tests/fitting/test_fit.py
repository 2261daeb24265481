"""Populations in, model out, in this process: each design, ensembles, searches, and what the facts say."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from neuronedit.cells.design import ControlsDesign, PairDesign
from neuronedit.cells.draw import DrawnPopulations, SampleConfig
from neuronedit.cells.panel import Panel
from neuronedit.edits.operators.table import EditStep
from neuronedit.edits.plans import EditConfig
from neuronedit.errors import ConfigError, DataError, ModelError
from neuronedit.fitting.edits import edit_scores
from neuronedit.fitting.fit import FittedModel, fit_model, model_refits, refit
from neuronedit.fitting.prepare import prepare
from neuronedit.fitting.record import TrainingRecord, intensities_digest
from neuronedit.fitting.search_result import SearchConfig
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan
from tests.synthetic_cells import GAINS, MARKERS, intensities

PANEL = Panel(MARKERS, (5.0,) * len(MARKERS))
NETWORK = Architecture(hidden=(8,), code=3)
TRAINING = TrainingPlan(epochs=2, minibatch=64, learning_rate=1e-2, seed=5)
QUICK = EditConfig(preset="quantile-map")
DAYS = ControlsDesign.of_arrays(reference="A")


@pytest.fixture(scope="module")
def pair() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {"source": intensities(300, 1.0, generator), "target": intensities(400, 2.0, generator)}


@pytest.fixture(scope="module")
def days() -> dict[str, np.ndarray]:
    """Batches A, B and C, each with a gain of its own."""
    generator = np.random.default_rng(1)
    return {batch: intensities(200, gain, generator) for batch, gain in GAINS.items()}


def fitted(populations, design, **settings) -> FittedModel:
    return fit_model(
        populations, PANEL, design, **({"network": NETWORK, "training": TRAINING, "edit": QUICK} | settings)
    )


@pytest.fixture(scope="module")
def fitted_pair(pair) -> FittedModel:
    return fitted(pair, PairDesign.of_arrays())


def gain(model, events, edit: str) -> float:
    return float(np.median(model.apply(events, edit) / events))


def test_a_pair_of_arrays_gives_one_edit(fitted_pair, pair):
    assert list(fitted_pair.model.edits) == ["pair"]
    assert gain(fitted_pair.model, pair["source"], "pair") == pytest.approx(2, rel=0.05)
    assert fitted_pair.model.facts["events"] == {"source": 300, "target": 400}
    assert fitted_pair.model.facts["extrapolation_seen"] is False


def test_batches_lead_to_the_reference_batch(days):
    model = fitted(days, DAYS).model
    assert (list(model.edits), model.reference) == (["B", "C"], "A")
    assert gain(model, days["B"], "B") == pytest.approx(0.5, rel=0.05)
    assert gain(model, days["C"], "C") == pytest.approx(2, rel=0.05)


def test_the_pooled_reference_gives_every_batch_an_edit(days):
    others = days | {"extrapolation B": days["B"][:100]}
    model = fitted(others, ControlsDesign.of_arrays(reference="pooled")).model
    assert (list(model.edits), model.reference) == (["A", "B", "C"], None)
    assert model.facts["goal"] == ["control A", "control B", "control C"]
    assert model.facts["extrapolation_seen"] is True
    assert list(model.facts["extrapolation"]) == ["B"]


def test_arrays_and_drawn_populations_of_the_same_events_give_the_same_bits(fitted_pair, pair):
    drawn = DrawnPopulations(dict(pair), {"source": 300, "target": 400})
    again = fitted(drawn, PairDesign(source={"drug": "no"}, target={"drug": "yes"})).model
    assert again.facts == fitted_pair.model.facts
    assert again.apply(pair["source"], "pair").tobytes() == fitted_pair.model.apply(pair["source"], "pair").tobytes()


def test_autoencoders_of_an_ensemble_differ_and_their_changes_are_averaged(fitted_pair, pair):
    code = EditConfig(steps=(EditStep(layer="code"),), serve="teacher")
    both = fitted(pair, PairDesign.of_arrays(), ensemble=2, edit=code).model
    first, second = both.autoencoders
    assert torch.equal(first.layers[0].weight, fitted_pair.model.autoencoder.layers[0].weight)
    assert not torch.equal(first.layers[0].weight, second.layers[0].weight)
    assert [(member.autoencoder, member.weight) for member in both.edits["pair"].members] == [(0, 0.5), (1, 0.5)]
    assert len(both.facts["validation_loss"]) == 2


def test_the_default_is_measured_and_says_what_it_rests_on(days):
    others = {"A": days["A"], "B": days["B"], "extrapolation B": days["B"][:100]}
    model = fitted(others, DAYS, edit=EditConfig()).model
    edit, judged = model.edits["B"], model.facts["extrapolation"]["B"]
    assert sum(member.weight for member in edit.members) == pytest.approx(1)
    # The gains are the same for every event, so the change carries over to the kind of cell left out.
    assert edit.errors.left_out < 1
    assert judged["flagged"] is False
    assert "The source has events like these" in judged["sentence"]
    expected = edit.expected_error(judged["unsupported"])
    assert model.facts["expected_extrapolation_error"] == {"B": expected}
    assert edit_scores(model)["B"]["expected_extrapolation_error"] == expected
    assert edit_scores(model)["B"]["left_out_error"] == edit.errors.left_out
    assert edit_scores(model)["B"]["flagged"] == 0
    assert gain(model, days["B"], "B") == pytest.approx(0.5, rel=0.1)


def test_an_inverse_leads_back(days):
    model = fitted(
        {name: days[name] for name in "AB"}, DAYS, edit=EditConfig(preset="quantile-map", inverse=True)
    ).model
    assert list(model.edits) == ["B", "B inverse"]
    assert np.median(model.apply(days["B"], ["B", "B inverse"]) / days["B"]) == pytest.approx(1, abs=0.05)


def test_a_search_trains_with_the_settings_that_do_best_on_populations_left_out(pair):
    code = EditConfig(steps=(EditStep(layer="code"),), serve="teacher")
    training = TRAINING.model_copy(update={"epochs": 15})
    found = fitted(pair, PairDesign.of_arrays(), training=training, edit=code, search=SearchConfig(code=(1, 4)))
    # Six markers of two kinds of cell, each with its own gain and noise, do not fit through one neuron.
    assert found.model.autoencoder.architecture == Architecture(hidden=(8,), code=4)
    assert found.model.facts["search"] == found.search.facts()
    assert found.model.facts["training"]["epochs"] == 15
    assert [trial.setting.architecture.code for trial in found.search.trials] == [1, 4]


def test_another_plan_has_the_bits_that_it_has_when_it_is_fitted_at_once(fitted_pair, pair):
    other = EditConfig(preset="neurons-then-markers", serve="teacher", inverse=True)
    again, at_once = fitted_pair.with_edit(other), fitted(pair, PairDesign.of_arrays(), edit=other)
    assert again.model.facts == at_once.model.facts
    for edit in ("pair", "pair inverse"):
        assert_array_equal(again.model.apply(pair["source"], edit), at_once.model.apply(pair["source"], edit))


def test_a_mix_that_cannot_be_matched_is_told_before_anything_is_trained(pair):
    labels = {name: {"type": np.full(len(events), name, object)} for name, events in pair.items()}
    drawn = DrawnPopulations(dict(pair), {name: len(events) for name, events in pair.items()}, labels)
    edit = EditConfig(preset="quantile-map", match_composition=True, population_column="type")

    def train(*asked):
        pytest.fail("trained")

    with pytest.raises(DataError, match=r"^Composition: source and target share no stratum"):
        fitted(drawn, PairDesign.of_arrays(), edit=edit, train=train)


def test_a_layer_that_is_not_there_is_told_before_anything_is_trained(pair):
    with pytest.raises(ConfigError, match=r"no layer 'encoder\.2'"):
        fitted(pair, PairDesign.of_arrays(), edit=EditConfig(steps=(EditStep(layer="encoder.2"),)))


def test_models_of_a_dataset_tell_an_update_where_their_events_are(fitted_pair, pair):
    data = {"uri": "cells/", "files": 2, "events": 700, "sha256": "d" * 64}
    facts = json.loads(json.dumps(fitted_pair.drawn_from(data, SampleConfig(seed=3)).model.facts))
    record = TrainingRecord.from_facts(facts, "models:/x/1")
    assert record.sample == SampleConfig(seed=3)
    assert record.training == TRAINING
    assert record.edit == QUICK
    assert record.populations["source"].data == "cells/"
    assert record.populations["source"].sha256 == intensities_digest(pair["source"])
    assert facts["data"] == data
    assert "data" not in fitted_pair.model.facts


def test_losses_are_a_table_of_the_first_autoencoder(fitted_pair):
    assert list(fitted_pair.loss_table.columns) == ["epoch", "train_loss", "validation_loss"]
    assert list(fitted_pair.loss_table["epoch"]) == [1, 2]


def test_a_population_that_no_edit_asks_for_is_told(pair):
    message = (
        r"^populations: found 'sorce'; a pair design has 'source', 'target', 'extrapolation'; nearest name 'source'\. "
        r"Correct the name, or take a controls design for batches\.$"
    )
    with pytest.raises(DataError, match=message):
        prepare({"sorce": pair["source"]}, PANEL, PairDesign.of_arrays())


def test_a_population_that_is_missing_is_told(pair):
    with pytest.raises(DataError, match=r"^The population 'target' has 0 events; expected at least 50"):
        prepare({"source": pair["source"]}, PANEL, PairDesign.of_arrays())
    with pytest.raises(DataError, match=r"^The reference batch 'AA' has no control events \(batches with controls: 'A"):
        prepare({"A": pair["source"], "B": pair["target"]}, PANEL, ControlsDesign.of_arrays(reference="AA"))


def test_columns_that_are_not_the_panels_are_told(pair):
    message = (
        r"^The population 'source' has shape \(300, 5\); expected \(n_events, 6\): a column for each of the panel's 6 "
        r"markers, in its order\. Choose the markers' columns\.$"
    )
    with pytest.raises(DataError, match=message):
        prepare(pair | {"source": pair["source"][:, :5]}, PANEL, PairDesign.of_arrays())


@pytest.mark.parametrize("name", ["source", "extrapolation"])
def test_a_population_without_events_is_told_by_its_name(pair, name):
    given = {**pair, name: pair["source"][:0]}
    with pytest.raises(DataError, match=f"The population '{name}' has no events; expected at least one. Add"):
        fit_model(given, PANEL, PairDesign.of_arrays())


def test_arrays_given_are_not_changed(pair):
    before = {name: events.copy() for name, events in pair.items()}
    prepared = prepare(pair, PANEL, PairDesign.of_arrays())
    assert prepared.drawn.intensities["source"] is not pair["source"]
    for name, events in before.items():
        assert_array_equal(pair[name], events)


def test_labels_that_arrays_do_not_have_are_told(pair):
    edit = EditConfig(population_column="cell_type")
    message = r"^edit\.population_column is 'cell_type'; expected .* found arrays of intensities alone\. Hand in Drawn"
    with pytest.raises(DataError, match=message):
        prepare(pair, PANEL, PairDesign.of_arrays(), edit)


RECORDED = {"epochs": 2, "minibatch": 64, "seed": 4, "accumulate": 1}  # "accumulate": older models record it


@pytest.fixture
def model(make_model, cells):
    return make_model({"source": cells(seed=1), "target": cells(seed=2, gain=2.0)}, facts={"training": RECORDED})


def test_a_refit_is_trained_as_the_model_was_from_a_seed_that_it_did_not_have(model, cells):
    populations = {"source": cells(seed=1), "target": cells(seed=2, gain=2.0)}
    first, again, second = (refit(model, populations, number) for number in (0, 0, 1))
    assert first.architecture == model.autoencoder.architecture
    weights = [network.state_dict()["layers.0.weight"] for network in (first, again, second, model.autoencoder)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])
    assert not first.training
    assert not any(of.requires_grad for of in first.parameters())


def test_a_refit_that_diverges_is_told(make_model, cells):
    wild = make_model(
        {"source": cells(seed=1), "target": cells(seed=2)}, facts={"training": RECORDED | {"learning_rate": 1e30}}
    )
    with pytest.raises(ModelError, match="Training diverged in epoch"):
        refit(wild, {"source": cells(seed=1)}, 0)


def test_refits_are_the_ensembles_others_and_those_trained_anew(model, cells):
    ensemble = replace(model, autoencoders=(model.autoencoder, model.autoencoder))
    others, trained = model_refits(ensemble, {"source": cells(seed=1)}, 1)
    assert others is model.autoencoder
    expected = refit(ensemble, {"source": cells(seed=1)}, 0)
    assert torch.equal(trained.state_dict()["layers.0.weight"], expected.state_dict()["layers.0.weight"])
    assert model_refits(model, {}, 0) == ()
