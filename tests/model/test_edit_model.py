from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from neuronedit.cells.design import ControlsDesign, EditPair
from neuronedit.edits.operators.table import EditStep
from neuronedit.edits.plans import NEURONS_THEN_MARKERS, TRANSPORT
from neuronedit.errors import DataError, ModelError
from neuronedit.model.example import example_batches, example_cells, example_model
from neuronedit.model.route import EDITED, NO_EFFECT, REFERENCE, UNKNOWN, Route
from neuronedit.network.chunks import CHUNK
from tests.arrays import of_arrays
from tests.fitted import fit_pair
from tests.fixtures import with_students
from tests.plans import EVERY_KIND

PLANS = {
    "step": [EditStep(operator="step")],
    "linear": [EditStep(operator="linear")],
    "neighbours": [EditStep(operator="neighbours", n_neighbours=10)],
    "strata": [EditStep(operator="strata"), EditStep(layer="visible", operator="strata")],
    "default": list(NEURONS_THEN_MARKERS),
    "three steps": [
        EditStep(operator="neighbours", n_neighbours=10),
        EditStep(layer="decoder.1", operator="step"),
        EditStep(layer="visible"),
    ],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_equal_populations_return_raw_intensities_bit_for_bit(make_model, cells, plan, dtype):
    model = make_model({"source": cells(seed=1), "target": cells(seed=1)}, plan)
    extreme = [[0, -0.0, -1, -1e5, 1e-30], [1e30, 3e5, np.pi, 1e-3, 262143], [-1e30, 1 / 3, 0.1, 7, 1e10]]
    intensities = np.concatenate([cells(seed=2, dtype=dtype), np.array(extreme, dtype=dtype)])
    edited = model.apply(intensities, "pair")
    assert edited.dtype == dtype
    assert edited.tobytes() == intensities.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_only_markers_that_move_change_their_bits(make_model, cells, dtype):
    source = cells(seed=1, dtype=dtype)
    target = source.copy()
    target[:, 2] *= 3
    model = make_model({"source": source, "target": target}, [EditStep(layer="visible")])
    edited = model.apply(source, "pair")
    assert (edited[:, [0, 1, 3, 4]] == source[:, [0, 1, 3, 4]]).all()
    assert (edited[:, 2] != source[:, 2]).any()


def test_a_shift_on_the_arcsinh_scale_multiplies_large_intensities(make_model, rng):
    # Far above the cofactor, arcsinh(x/c) is log(2x/c): a constant shift there is a factor here.
    source = rng.uniform(1e5, 1e6, size=(300, 5))
    model = make_model({"source": source, "target": 3 * source}, [EditStep(layer="visible")])
    # float32 on an arcsinh scale of about 12 leaves 6 digits.
    np.testing.assert_allclose(model.apply(source, "pair"), 3 * source, rtol=2e-5)


def test_after_the_default_plan_the_source_lies_on_the_target(make_model, cells):
    # 301 events and 21 percentiles: every percentile is an event, and met exactly. Without zeros: theirs have ranks
    # that differ between fitting and applying by up to the width that they are spread over.
    source, target = cells(301, seed=1) + 1, cells(301, seed=2, gain=2.0) + 1
    edited = make_model({"source": source, "target": target}).apply(source, "pair")
    found, expected = (
        np.percentile(np.arcsinh(events / 5), [0, 25, 50, 75, 100], axis=0) for events in (edited, target)
    )
    # float32 on standardised values, times a spread of about 2.
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_applying_leaves_read_only_intensities_as_they_were(pair_model, cells):
    intensities = cells(seed=3)
    intensities.setflags(write=False)
    edited = pair_model.apply(intensities, "pair")
    assert (intensities == cells(seed=3)).all()
    assert edited.flags.writeable


def test_whole_number_intensities_are_rounded_and_not_cut_off(pair_model, cells):
    whole = cells().astype(np.int32)
    exact = pair_model.apply(whole.astype(np.float64), "pair")
    edited = pair_model.apply(whole, "pair")
    assert edited.dtype == np.int32
    assert (edited == np.rint(exact)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300], ids=["nan", "inf", "beyond float32"])
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_a_value_that_is_not_finite_is_refused_with_its_marker(pair_model, cells, value):
    intensities = cells(dtype=np.float64)
    intensities[7, 2] = value
    with pytest.raises(
        DataError, match=r"'CD8' has 1 values that are not finite float32 numbers, of 300\. Leave these"
    ):
        pair_model.transform(intensities, None)


def test_an_unknown_edit_is_named_with_those_there_are(pair_model, cells):
    with pytest.raises(ModelError, match=r"no edit 'pear' \(edits: 'pair'; nearest name 'pair'\)"):
        pair_model.apply(cells(), "pear")


def test_reconstruct_is_the_autoencoders_output_on_what_it_sees(pair_model, cells):
    standardised = pair_model.standardised(cells())
    assert pair_model.reconstruct(cells()).shape == standardised.shape
    assert not np.array_equal(pair_model.reconstruct(cells()), standardised)


def test_a_pair_design_edits_every_event(pair_model, cells):
    edited, done, _ = pair_model.transform(cells(), None)
    assert (edited == pair_model.apply(cells(), "pair")).all()
    assert (done == EDITED).all()
    assert pair_model.batch_column is None
    assert pair_model.reference is None


def test_each_event_gets_the_edit_of_its_batch_and_the_reference_passes_bit_for_bit(controls_model, cells):
    intensities = cells(90)
    batches = np.array(["1", "2", "3"] * 30)
    edited, done, _ = controls_model.transform(intensities, batches)
    for batch in ("1", "2"):
        chosen = batches == batch
        assert (edited[chosen] == controls_model.apply(intensities[chosen], batch)).all()
    assert edited[batches == "3"].tobytes() == intensities[batches == "3"].tobytes()
    assert done.tolist() == [EDITED, EDITED, REFERENCE] * 30


@pytest.mark.parametrize(
    "batches",
    [[1, 2, 3], np.array([1, 2, 3]), pd.Series([1, 2, 3], dtype="Int64"), pd.Categorical([1, 2, 3])],
    ids=["list", "array", "nullable", "categorical"],
)
def test_integer_batch_ids_are_the_batches_of_the_same_text(controls_model, cells, batches):
    as_text, _, _ = controls_model.transform(cells(3), ["1", "2", "3"])
    edited, done, _ = controls_model.transform(cells(3), batches)
    assert (edited == as_text).all()
    assert done.tolist() == [EDITED, EDITED, REFERENCE]


def test_events_of_an_edit_without_members_are_not_called_edited(controls_model, cells):
    idle = replace(controls_model.edits["2"], members=())
    model = replace(controls_model, edits={**controls_model.edits, "2": idle})
    edited, done, _ = model.transform(cells(3), ["1", "2", "3"])
    assert edited[1].tobytes() == cells(3)[1].tobytes()
    assert done.tolist() == [EDITED, NO_EFFECT, REFERENCE]
    routes = {("2",): NO_EFFECT, ("2", "2"): NO_EFFECT, ("2", "1"): EDITED}
    assert {names: model.transform(cells(1), None, Route(edits=names)).outcomes[0] for names in routes} == routes


def test_an_unknown_batch_is_an_error_that_lists_the_known(controls_model, cells):
    with pytest.raises(
        ModelError,
        match=r"cells/b7.parquet: 'batch_id' is '7', a batch that the model does not know \(known: '1', '2', '3'\)\. "
        r"Train with this batch's control, or set unknown_batch = \"pass\"",
    ):
        controls_model.transform(cells(2), ["1", "7"], where="cells/b7.parquet")


def test_events_of_unknown_batches_pass_flagged_when_asked(controls_model, cells):
    edited, done, _ = controls_model.transform(cells(3), ["7", "1", None], Route(unknown_batch="pass"))
    assert edited[[0, 2]].tobytes() == cells(3)[[0, 2]].tobytes()
    assert done.tolist() == [UNKNOWN, EDITED, UNKNOWN]


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT, ""], ids=["None", "nan", "NA", "NaT", "empty"])
def test_an_event_without_a_batch_is_an_error(controls_model, cells, missing):
    with pytest.raises(ModelError, match=r"^events: 'batch_id' has no value, a batch that the model does not know"):
        controls_model.transform(cells(2), ["1", missing])


def test_a_controls_design_needs_the_batch_column(controls_model, cells):
    with pytest.raises(ModelError, match=r"b.parquet: the model needs the column 'batch_id' to choose each event's"):
        controls_model.transform(cells(2), None, where="b.parquet")


def test_pooled_controls_leave_no_batch_as_reference(make_model, cells):
    populations = {f"control {batch}": cells(seed=batch) for batch in (1, 2)}
    design = ControlsDesign(control={"role": "control"}, reference="pooled")
    model = make_model(populations, [EditStep(layer="visible")], design)
    assert model.reference is None
    assert list(model.edits) == ["1", "2"]
    _, done, _ = model.transform(cells(2), ["1", "2"])
    assert (done == EDITED).all()


def test_no_events_are_transformed_to_no_events(controls_model, cells):
    edited, done, _ = controls_model.transform(cells(1)[:0], [])
    assert edited.shape == (0, 5)
    assert done.shape == (0,)


def test_edits_are_applied_one_after_another(controls_model, cells):
    intensities = cells(200) + 1
    halfway = controls_model.apply(intensities, "1")
    kept = (halfway > 0).all(axis=1)  # a zero's rank comes from all bits of its event
    both, there = controls_model.apply(intensities, ("1", "2")), controls_model.apply(halfway, "2")
    assert kept.sum() > 20
    # Raw intensities between the two steps are rounded to float32 once more.
    np.testing.assert_allclose(both[kept], there[kept], rtol=1e-3, atol=1e-3)


def test_a_route_takes_the_batchs_place(controls_model, cells):
    route = Route(edits=("1",), strength=0.5, support=True)
    edited, done, support = controls_model.transform(cells(20), None, route)
    assert np.array_equal(edited, controls_model.apply(cells(20), "1", strength=0.5))
    assert set(done) == {EDITED}
    assert np.array_equal(
        support, of_arrays(controls_model.get_edit("1").support.scores, controls_model.standardised(cells(20)))
    )


def test_the_inverse_leads_back(autoencoder, rng):
    populations = {
        "a": rng.normal(size=(400, 5)).astype(np.float32),
        "b": rng.normal(3, 2, (400, 5)).astype(np.float32),
    }
    pair = EditPair("a", ("a",), ("b",))
    zeros = np.full(5, -99, np.float32)
    plan = (EditStep(layer="visible"),)
    there, back = (fit_pair(way, autoencoder, populations, plan, zeros) for way in (pair, pair.inverse))
    assert back.name == "a inverse"
    moved = there.apply((autoencoder,), populations["a"])
    # 101 percentiles of 400 events: near, but for the outermost.
    close = np.abs(back.apply((autoencoder,), moved) - populations["a"]) < 0.1
    assert close.mean() > 0.97


def test_another_number_of_markers_is_told(pair_model):
    with pytest.raises(ModelError, match=r"Intensities have shape \(3, 1\); expected \(n_events, \d+\)"):
        pair_model.apply(np.zeros((3, 1), np.float32), "pair")


ALL_PLANS = {name: list(plan) for name, plan in EVERY_KIND.items()} | PLANS


@pytest.mark.parametrize("plan", ALL_PLANS.values(), ids=ALL_PLANS)
def test_however_events_are_cut_into_tables_each_has_the_same_bits(make_wide_model, plan):
    model, events = make_wide_model(plan)
    whole = model.apply(events, "pair")
    assert (whole != events).any()
    for size in (1, 2, 3, 5, 17, 100, CHUNK + 1):
        starts = range(0, min(40 * size, len(events)), size)
        parts = [model.apply(events[start : start + size], "pair") for start in starts]
        cut = np.concatenate(parts)
        assert cut.tobytes() == whole[: len(cut)].tobytes(), size


@pytest.mark.parametrize("n_markers", [3, 7, 33])
def test_so_it_is_for_panels_of_any_size(make_wide_model, n_markers):
    model, events = make_wide_model([*NEURONS_THEN_MARKERS, *TRANSPORT], n_markers=n_markers)
    whole = model.apply(events, "pair")
    alone = np.concatenate([model.apply(events[row : row + 1], "pair") for row in range(50)])
    assert alone.tobytes() == whole[:50].tobytes()


def test_each_group_of_events_is_observed_with_what_its_edit_saw_and_made(controls_model, cells):
    intensities = cells(90)
    seen = {}
    route = Route(unknown_batch="pass", support=True)
    batches = np.array(["1", "3", "7"] * 30)
    found = controls_model.transform(
        intensities, batches, route, observe=lambda group, *arrays: seen.update({group: arrays})
    )
    assert list(seen) == ["1", "3", "7"]
    for batch, (before, after, scores) in seen.items():
        chosen = batches == batch
        assert before.tobytes() == controls_model.standardised(intensities[chosen]).tobytes()
        if batch != "1":
            assert after is before
            assert scores is None
    before, after, scores = seen["1"]
    expected = controls_model.get_edit("1").apply(controls_model.autoencoders, before)
    assert after.tobytes() == expected.tobytes()
    assert scores.tobytes() == found.support[batches == "1"].tobytes()
    assert (found.intensities == controls_model.transform(intensities, batches, route).intensities).all()


def test_events_that_get_the_same_edits_are_observed_as_one_group(controls_model, pair_model, cells):
    seen = []
    pair_model.transform(cells(20), None, observe=lambda *told: seen.append(told))
    controls_model.transform(cells(20), None, Route(edits=("1", "2")), observe=lambda *told: seen.append(told))
    assert [told[0] for told in seen] == ["pair", "1 → 2"]
    assert all(told[1].shape == told[2].shape == (20, 5) and told[3] is None for told in seen)


@pytest.mark.parametrize("plan", EVERY_KIND.values(), ids=EVERY_KIND)
def test_columns_beside_each_other_have_the_bits_of_rows(make_wide_model, plan):
    """As they come from Parquet, and as a caller has them; by the plan and by a student; one batch or many."""
    model, rows = make_wide_model(plan)
    for served in (model, with_students(model)):
        columns = served.transform(np.asfortranarray(rows), None).intensities
        assert columns.tobytes("C") == served.transform(rows, None).intensities.tobytes("C")


def test_a_batch_alone_has_the_bits_that_it_has_beside_others(controls_model, cells):
    events, batches = cells(400), np.repeat(["1", "2"], 200)
    for layout in (np.ascontiguousarray, np.asfortranarray):
        together = controls_model.transform(layout(events), batches).intensities
        alone = [
            controls_model.transform(layout(events[batches == batch]), [batch] * 200).intensities for batch in "12"
        ]
        assert together.tobytes("C") == np.concatenate(alone).tobytes("C")


@pytest.mark.parametrize("batches", [["1", "2", "3"] * 30, ["2"] * 90], ids=["mixed", "one"])
@pytest.mark.parametrize("route", [Route(), Route(edits=("1", "2"), strength=0.5, support=True)], ids=["own", "named"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("served", [False, True], ids=["teacher", "student"])
def test_events_may_be_written_over_with_the_same_bits(controls_model, cells, batches, route, dtype, served):
    model = with_students(controls_model) if served else controls_model
    given = np.asfortranarray(cells(90).astype(dtype))
    untouched = given.copy("K")
    expected = model.transform(given, batches, route)
    assert given.tobytes() == untouched.tobytes()
    found = model.transform(given, batches, route, overwrite=True)
    assert np.shares_memory(found.intensities, given)
    assert found.intensities.tobytes() == expected.intensities.tobytes() != untouched.tobytes()
    assert found.outcomes.tolist() == expected.outcomes.tolist()
    if route.support:
        assert found.support.tobytes() == expected.support.tobytes()


def test_a_subclass_of_arrays_is_edited_as_its_values_and_left_as_it_is():
    """AnnData's views, for one, do something of their own when they are written to."""

    class Guarded(np.ndarray):
        def __setitem__(self, *_):
            raise AssertionError("written to")

    cells = example_cells(seed=2)
    guarded = cells.view(Guarded)
    edited = example_model().apply(guarded, "pair")
    assert type(edited) is np.ndarray
    assert np.array_equal(edited, example_model().apply(cells, "pair"))
    days = np.tile(["day1", "day2"], 200)
    found = example_batches().transform(guarded, days, Route(support=True))
    assert np.array_equal(found.intensities, example_batches().transform(cells, days).intensities)
    assert np.array_equal(guarded, cells)
