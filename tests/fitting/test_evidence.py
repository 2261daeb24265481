"""Samples and kinds of cell left out of planted populations, whose effect on each is known."""

import logging
from collections.abc import Mapping

import numpy as np
import pytest

from neuronedit.cells.design import ControlsDesign, PairDesign
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.cells.panel import Panel
from neuronedit.edits.operators.table import EditStep
from neuronedit.edits.plans import EditConfig
from neuronedit.errors import DataError
from neuronedit.fitting.edits import edit_scores
from neuronedit.fitting.evidence import disagreement
from neuronedit.fitting.fit import FittedModel, fit_model
from neuronedit.fitting.left_out_samples import MAX_FITS
from neuronedit.fitting.train import one_after_another
from neuronedit.measures.evidence import EditEvidence, read_evidence
from neuronedit.network.autoencoder import VISIBLE, Architecture, Autoencoder
from tests.fitted import untrained

PANEL = Panel(("CD3", "CD4", "pSTAT1"), (5.0, 5.0, 5.0))
BY_DONOR = PairDesign.of_arrays(sample_column="donor")
QUANTILE_MAP = EditConfig(preset="quantile-map")
N_EVENTS = 300


def cells(seed: int, rise: float = 0.0, n_events: int = N_EVENTS) -> np.ndarray:
    """Raw intensities; ``rise``, arcsinh units, is of the last marker."""
    transformed = np.random.default_rng(seed).normal([2.0, 2.0, 2.0 + rise], 0.5, (n_events, 3))
    return 5 * np.sinh(transformed)


def donors(
    rises: Mapping[str, float], n_events: int = N_EVENTS, **labels: Mapping[str, np.ndarray]
) -> DrawnPopulations:
    """The same number of untreated and treated cells of each donor, whose treatment raises the last marker."""
    source = [cells(number, 0.0, n_events) for number in range(len(rises))]
    target = [cells(100 + number, rise, n_events) for number, rise in enumerate(rises.values())]
    populations = {"source": np.concatenate(source), "target": np.concatenate(target)}
    names = np.repeat(np.array(list(rises), object), n_events)
    counts = {name: len(events) for name, events in populations.items()}
    return DrawnPopulations(populations, counts, dict(labels), dict.fromkeys(populations, names))


def fitted(drawn, design=BY_DONOR, edit=QUANTILE_MAP, networks: int = 1, run_all=one_after_another) -> FittedModel:
    autoencoders = tuple(Autoencoder(3, Architecture(hidden=(4,), code=2), seed).eval() for seed in range(networks))
    return fit_model(drawn, PANEL, design, edit=edit, train=untrained(*autoencoders), run_all=run_all)


def evidence_of(drawn, *arguments, **changes) -> EditEvidence:
    return read_evidence(fitted(drawn, *arguments, **changes).model.facts)["pair"]


def test_an_effect_that_all_donors_share_is_foreseen_on_each():
    found = evidence_of(donors({"P1": 1.0, "P2": 1.0, "P3": 1.0, "P4": 1.0})).samples
    assert [(unit.name, unit.n_events, unit.n_truth) for unit in found.units] == [
        (name, N_EVENTS, N_EVENTS) for name in ("P1", "P2", "P3", "P4")
    ]
    assert found.mean("edit") < 0.1
    assert found.mean("quantile_map") < 0.1
    assert found.proven


def test_a_donor_is_led_by_the_others_and_not_by_its_own_events():
    found = evidence_of(donors({"up": 1.5, "down": -1.5})).samples
    # The marker rises where it should fall: as far again from the truth.
    assert all(unit.edit["emd"] == pytest.approx(2, abs=0.2) for unit in found.units)
    assert not found.proven


def test_donors_that_respond_unlike_leave_it_unproven_and_are_warned_of(caplog):
    model = fitted(donors({"P1": 1.0, "P2": 1.0, "P3": 0.0, "P4": -1.0})).model
    found = read_evidence(model.facts)["pair"].samples
    assert found.interval("emd").high > 1
    told, expected = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert told.startswith("edit pair: Estimated, not measured: fitted without each of 4 (donor: 'P1', 'P2', 'P3',")
    assert "and doing nothing is better in the mean. To know, measure some that it is for after the change" in told
    assert expected.endswith("it comes from samples left out in turn")


def test_the_expected_error_is_that_of_the_samples_left_out():
    model = fitted(donors({"P1": 1.0, "P2": 1.0, "P3": -1.0})).model
    found = read_evidence(model.facts)["pair"].samples
    assert model.facts["expected_extrapolation_error"]["pair"] == pytest.approx(found.mean("edit"))
    assert found.mean("edit") > 1


def test_evidence_is_among_the_numbers_for_mlflow():
    scores = edit_scores(fitted(donors({"P1": 1.0, "P2": 1.0, "P3": 1.0})).model)["pair"]
    assert scores["estimated_n"] == 3
    assert scores["estimated_emd"] < scores["estimated_emd_high"] < 1
    assert scores["estimated_energy_quantile_map"] < 0.1


@pytest.mark.parametrize(
    ("rises", "events", "found"),
    [({"P1": 1.0}, N_EVENTS, "1, 'P1',"), ({"P1": 1.0, "P2": 1.0}, 40, "none")],
    ids=["one donor", "few events"],
)
def test_without_several_donors_it_is_unknown(rises, events, found, caplog):
    caplog.set_level(logging.INFO)
    samples = evidence_of(donors(rises, events)).samples
    why = f"of donor, source and target have {found} in common with at least 50 events in each; expected several"
    assert (samples.units, samples.why_none) == ((), why)
    assert any(f"edit pair: Unknown whether the edit carries over: {why}." in told for told in caplog.messages)


def test_without_a_column_of_samples_it_is_unknown():
    samples = evidence_of(donors({"P1": 1.0, "P2": 1.0}), PairDesign.of_arrays()).samples
    assert samples.why_none == "no column says which sample an event is from (design.sample_column)"


def test_donors_of_the_source_alone_are_not_left_out():
    drawn = donors({"P1": 1.0, "P2": 1.0, "P3": 1.0})
    drawn.samples["target"] = np.where(drawn.samples["target"] == "P3", "P9", drawn.samples["target"])
    assert [unit.name for unit in evidence_of(drawn).samples.units] == ["P1", "P2"]


def test_arrays_without_samples_are_told():
    message = (
        r"^design.sample_column is 'donor'; expected the sample of each event, found arrays of intensities alone\. "
        r"Hand in DrawnPopulations with samples, or leave sample_column out\.$"
    )
    with pytest.raises(DataError, match=message):
        fitted({"source": cells(0), "target": cells(1)})


def test_many_donors_share_fits_and_each_is_scored():
    asked: list[str] = []

    def run_all(function, items, remedy=""):
        asked.extend(items)
        return one_after_another(function, items, remedy)

    found = evidence_of(donors({f"P{number}": 1.0 for number in range(20)}, 60), run_all=run_all).samples
    fits = [task for task in asked if " without " in task]
    assert (len(fits), len(found.units)) == (MAX_FITS, 20)


def test_the_pooled_controls_of_several_batches_are_left_out_by_donor():
    days = {
        f"control day{day}": np.concatenate([cells(10 * day + donor, 0.5 * day) for donor in (1, 2, 3)])
        for day in (1, 2)
    }
    samples = dict.fromkeys(days, np.repeat(np.array(["P1", "P2", "P3"], object), N_EVENTS))
    drawn = DrawnPopulations(days, dict.fromkeys(days, 3 * N_EVENTS), {}, samples)
    design = ControlsDesign.of_arrays(reference="pooled", sample_column="donor")
    found = read_evidence(fitted(drawn, design, EditConfig(preset="quantile-map", inverse=True)).model.facts)
    assert list(found) == ["day1", "day2"]  # and not their inverses
    assert [(unit.n_events, unit.n_truth) for unit in found["day2"].samples.units] == [(N_EVENTS, 2 * N_EVENTS)] * 3
    assert found["day2"].samples.mean("edit") < 0.5


def test_kinds_of_cell_are_left_out_by_their_labels():
    kinds = np.tile(np.repeat(np.array(["T", "B", "NK"], object), N_EVENTS // 3), 2)
    drawn = donors({"P1": 1.0, "P2": 1.0}, **{side: {"type": kinds} for side in ("source", "target")})
    found = evidence_of(drawn, edit=EditConfig(preset="quantile-map", population_column="type")).kinds
    assert [(unit.name, unit.n_events) for unit in found.units] == [("B", 200), ("NK", 200), ("T", 200)]
    assert found.proven


def test_a_sample_that_cannot_be_scored_is_named_and_the_others_go_on(caplog):
    # Without P1 the target has no B cell that could be weighed as the source's are.
    drawn = donors({"P1": 1.0, "P2": 1.0, "P3": 1.0})
    kinds = {"source": np.tile(np.repeat(np.array(["T", "B"], object), N_EVENTS // 2), 3)}
    kinds["target"] = np.where(drawn.samples["target"] == "P1", kinds["source"], "T")
    labelled = DrawnPopulations(
        drawn.intensities, drawn.counts, {k: {"type": v} for k, v in kinds.items()}, drawn.samples
    )
    edit = EditConfig(preset="quantile-map", population_column="type", match_composition=True)
    found = evidence_of(labelled, edit=edit).samples
    assert [unit.name for unit in found.units] == ["P2", "P3"]
    assert list(found.unscored) == ["P1"]
    assert "edit pair: not fitted without 'P1': Composition: " in caplog.text


def test_an_edit_that_changes_nothing_has_no_evidence():
    drawn = donors({"P1": 1.0, "P2": 1.0})
    drawn.intensities["source"][5:] = 0.0  # without a signal in any marker
    model = fitted(drawn).model
    assert not model.edits["pair"].members
    assert read_evidence(model.facts) == {}


def test_autoencoders_disagree_by_the_spread_of_their_changes():
    steps = EditConfig(steps=(EditStep(layer="code"), EditStep(layer=VISIBLE)))
    drawn = donors({"P1": 1.0, "P2": 1.0})
    alone = fitted(drawn, edit=steps).model
    assert disagreement(alone.edits["pair"], alone.autoencoders, np.zeros((9, 3), np.float32)) is None
    two = fitted(drawn, edit=steps, networks=2).model
    found = read_evidence(two.facts)["pair"].disagreement
    assert found > 0
    twice = (two.autoencoders[0],) * 2
    same = fit_model(drawn, PANEL, BY_DONOR, edit=steps, train=untrained(*twice)).model
    assert read_evidence(same.facts)["pair"].disagreement == pytest.approx(0, abs=1e-6)
    visible = fitted(drawn, networks=2).model
    assert read_evidence(visible.facts)["pair"].disagreement is None
