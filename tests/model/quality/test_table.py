import json
from dataclasses import replace

import numpy as np
import pytest

from neuronedit.model.quality.counting import FINE
from neuronedit.model.quality.sample import QualityObserver, SupportSample
from neuronedit.model.quality.table import (
    PERCENTS,
    edits_of,
    manifest_facts,
    quality_scalars,
    quality_table,
    target_of,
)
from neuronedit.model.quality.tally import Tally
from neuronedit.model.route import BATCHES_OWN, Route


@pytest.fixture
def observed(controls_model, cells):
    """Batches 1 and 2 after their edits, and the reference, 3, as it is: the model, its tally, all arrays."""
    tally = Tally(controls_model.scaling.zeros)
    observe = QualityObserver(tally, SupportSample(), controls_model, BATCHES_OWN)
    events = {}
    for batch in ("1", "2", "3"):
        raw = cells(3000, seed=10 + int(batch), gain=float(batch))
        before = controls_model.standardised(raw)
        after = before if batch == "3" else controls_model.standardised(controls_model.apply(raw, batch))
        observe(batch, before, after, None)
        events[batch] = before, after
    observe.sample.score(tally, controls_model, BATCHES_OWN)
    return controls_model, tally, events


@pytest.fixture
def table(observed):
    model, tally, _ = observed
    return quality_table(tally, model, BATCHES_OWN)


def test_there_is_a_row_for_each_batch_and_marker_in_order(table, observed):
    markers = observed[0].panel.markers
    assert list(zip(table["group"], table["marker"], strict=True)) == [(b, m) for b in "123" for m in markers]
    assert set(table["events"]) == {3000}


def test_quantiles_are_numpys_within_a_bin_in_arcsinh_units(table, observed):
    model, _, events = observed
    for batch, moments in events.items():
        rows = table[table["group"] == batch]
        for name, standardised in zip(("before", "after"), moments, strict=True):
            arcsinh = model.scaling.unstandardise(standardised)
            found = rows[[f"q{percent:02d}_{name}" for percent in PERCENTS]].to_numpy().T
            expected = np.percentile(arcsinh, PERCENTS, axis=0, method="inverted_cdf")
            assert (np.abs(found - expected) <= model.scaling.spreads / FINE + 1e-4).all()
            np.testing.assert_allclose(rows[f"lowest_{name}"], arcsinh.min(axis=0), atol=1e-5)
            np.testing.assert_allclose(rows[f"highest_{name}"], arcsinh.max(axis=0), atol=1e-5)
            np.testing.assert_allclose(rows[f"zero_{name}"], (standardised == model.scaling.zeros).mean(axis=0))


def test_an_edit_comes_nearer_to_the_reference_which_is_near_itself(table):
    means = table.groupby("group")[["emd_before", "emd_after"]].mean()
    assert means.loc["1", "emd_after"] < 0.3 * means.loc["1", "emd_before"]
    assert means.loc["3", "emd_before"] == means.loc["3", "emd_after"] < 0.15  # its 300 controls are noisy
    assert table.loc[table["group"] == "3", "edited"].sum() == 0
    assert not table["worse"].any()


def test_an_exact_shift_is_its_distance(controls_model):
    target = controls_model.edits["1"].target_percentiles
    moved = np.repeat(target, 20, axis=0)
    tally = Tally(controls_model.scaling.zeros)
    tally.observe("1", moved + np.float32(0.5), moved)
    tally.observe("2", moved, moved + np.float32(1))
    found = quality_table(tally, controls_model, BATCHES_OWN)
    spreads = controls_model.scaling.spreads
    # The percentiles as points in the place of lines between them, and bins.
    np.testing.assert_allclose(found["emd_before"][:5], 0.5 * spreads, atol=0.05)
    np.testing.assert_allclose(found["emd_after"][:5], 0, atol=0.05)
    np.testing.assert_allclose(found["emd_after"][5:], spreads, atol=0.05)
    assert found["worse"].tolist() == [False] * 5 + [True] * 5


@pytest.mark.parametrize(
    ("group", "route", "edits", "target"),
    [
        ("1", BATCHES_OWN, ("1",), "1"),
        ("3", BATCHES_OWN, (), "1"),
        ("9", BATCHES_OWN, (), None),
        ("anything", Route(edits=("1", "2")), ("1", "2"), "2"),
    ],
    ids=["its own", "the reference", "unknown", "one after another"],
)
def test_which_target_a_group_should_end_at(controls_model, group, route, edits, target):
    controls_model.edits["2"].target_percentiles[:] += 1  # to tell which one it is
    assert edits_of(group, controls_model, route) == edits
    if group == "3":
        assert target_of(group, controls_model, route) is None  # the two edits' targets differ
        controls_model.edits["2"].target_percentiles[:] -= 1
        controls_model.edits["2"].target_percentiles[:] = controls_model.edits["1"].target_percentiles
    found = target_of(group, controls_model, route)
    assert found is (None if target is None else controls_model.edits[target].target_percentiles)


def test_an_inverse_does_not_hide_the_references_target(controls_model):
    back = replace(controls_model.edits["1"], target_percentiles=controls_model.edits["1"].target_percentiles + 1)
    model = replace(controls_model, edits={**controls_model.edits, "1 inverse": back})
    assert target_of("3", model, BATCHES_OWN) is model.edits["1"].target_percentiles


def test_all_events_of_a_pair_go_to_its_target(pair_model):
    assert edits_of("pair", pair_model, BATCHES_OWN) == ("pair",)
    assert target_of("pair", pair_model, BATCHES_OWN) is pair_model.edits["pair"].target_percentiles


def test_a_marker_without_a_finite_value_is_told_as_unknown(controls_model, cells):
    before = controls_model.standardised(cells(seed=5))
    before[:, 1] = np.nan
    tally = Tally(controls_model.scaling.zeros)
    tally.observe("1", before, before)
    row = quality_table(tally, controls_model, BATCHES_OWN).iloc[1]
    assert row["not_finite_before"] == row["not_finite_after"] == 300
    assert row[["emd_before", "q50_before", "lowest_after", "zero_after"]].isna().all()
    assert not row["worse"]
    facts = manifest_facts(quality_table(tally, controls_model, BATCHES_OWN))["1"]
    assert facts["not_finite"] == {"CD4": 300}
    assert facts["emd_after"] > 0


def test_the_manifest_holds_few_facts_and_is_json(table, observed):
    facts = manifest_facts(table)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    rows = table[table["group"] == "1"].set_index("marker")
    assert facts["1"] == {
        "events": 3000,
        "scored": int(rows["scored"].iloc[0]),
        "unsupported": pytest.approx(rows["unsupported"].iloc[0], abs=1e-6),
        "emd_before": pytest.approx(rows["emd_before"].mean(), abs=1e-6),
        "emd_after": pytest.approx(rows["emd_after"].mean(), abs=1e-6),
        "worst_marker": rows["emd_after"].idxmax(),
        "worst_emd_before": pytest.approx(rows.loc[rows["emd_after"].idxmax(), "emd_before"], abs=1e-6),
        "worst_emd_after": pytest.approx(rows["emd_after"].max(), abs=1e-6),
        "made_worse": [],
        "not_finite": {},
    }
    assert facts["3"]["unsupported"] is None
    assert facts["1"]["scored"] > 0


def test_without_a_reference_facts_are_none(controls_model, cells):
    before = controls_model.standardised(cells(seed=5))
    tally = Tally(controls_model.scaling.zeros)
    tally.observe("unknown", before, before)
    table = quality_table(tally, controls_model, BATCHES_OWN)
    facts = manifest_facts(table)["unknown"]
    assert (facts["emd_before"], facts["worst_marker"], facts["worst_emd_after"]) == (None, None, None)
    assert quality_scalars(table) == {"quality/unknown/not_finite": 0}


def test_scalars_are_means_over_markers_and_over_batches(table):
    scalars = quality_scalars(table)
    of_batches = [scalars[f"quality/{batch}/emd_after"] for batch in "123"]
    assert of_batches == pytest.approx(table.groupby("group")["emd_after"].mean().tolist())
    assert scalars["quality/emd_after"] == pytest.approx(np.mean(of_batches))
    assert "quality/3/unsupported" not in scalars


def test_nothing_observed_is_an_empty_table(controls_model):
    table = quality_table(Tally(controls_model.scaling.zeros), controls_model, BATCHES_OWN)
    assert (len(table), manifest_facts(table), quality_scalars(table)) == (0, {}, {})
    assert "emd_after" in table.columns
