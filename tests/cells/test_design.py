import numpy as np
import pandas as pd
import pytest

from neuronedit.cells.design import ControlsDesign, EditPair, PairDesign
from neuronedit.cells.selection import ALL_EVENTS, EventChoice, check_design_columns, select
from neuronedit.errors import DataError

PAIR = PairDesign(
    source={"condition": "untreated"},
    target={"condition": "treated"},
    extrapolation={"donor": "P2"},
)
CONTROLS = ControlsDesign(control={"role": "control"}, reference="b1", extrapolation={"role": "validation"})


@pytest.fixture
def treated():
    return pd.DataFrame({"condition": ["untreated", "treated", "other", None], "donor": ["P1", "P2", "P2", "P1"]})


@pytest.fixture
def batches():
    return pd.DataFrame(
        {
            "batch_id": ["b1", "b2", "b2", None, "b1"],
            "role": ["control", "control", "validation", "validation", "sample"],
        }
    )


def test_a_pair_design_names_each_events_population(treated):
    # The treated event of P2 is target, though it is of the extrapolation's donor too.
    assert PAIR.assign(treated, "a.parquet").tolist() == ["source", "target", "extrapolation", ""]


def test_a_pair_design_reads_only_its_columns():
    assert PAIR.columns == ("condition", "donor")


def test_an_event_cannot_be_source_and_target_at_once(treated):
    design = PairDesign(source={"condition": "treated"}, target={"donor": "P2"})
    with pytest.raises(
        DataError,
        match=r"^a.parquet: 1 events are source and target at once \(source .*, target .*\)\. Choose column values",
    ):
        design.assign(treated, "a.parquet")


def test_a_pair_design_has_one_edit():
    assert PAIR.edits({"source": 50, "target": 50, "extrapolation": 1}) == [EditPair("pair", ("source",), ("target",))]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"target": 50}, r"population 'source' has 0 events; expected at least 50 to estimate percentiles \(chosen by"),
        ({"source": 1, "target": 50}, r"population 'source' has 1 event; expected at least 50"),
        ({"source": 50, "target": 49}, r"population 'target' has 49 events; .* Correct the column values, or add ev"),
        ({"source": 50, "target": 50}, r"extrapolation population \{'donor': 'P2'\} has no events\. Correct the col"),
    ],
    ids=["empty source", "one-row source", "small target", "empty extrapolation"],
)
def test_a_pair_design_without_enough_events_is_refused(counts, message):
    with pytest.raises(DataError, match=message):
        PAIR.edits(counts)


@pytest.mark.parametrize("design", [PAIR, CONTROLS], ids=["pair", "controls"])
def test_a_column_of_samples_is_read_too(design):
    by_donor = design.model_copy(update={"sample_column": "sample"})
    assert by_donor.columns == (*design.columns, "sample")
    assert by_donor.sample_column == "sample"


@pytest.mark.parametrize("missing", [None, ""])
def test_an_event_of_source_or_target_without_a_sample_is_told(treated, batches, missing):
    message = (
        r"^a.parquet: 1 events of source or target have no value in 'line'; expected the sample that each is from\. "
        r"Fill the column, or leave design.sample_column out\.$"
    )
    pair, controls = (design.model_copy(update={"sample_column": "line"}) for design in (PAIR, CONTROLS))
    with pytest.raises(DataError, match=message):
        pair.assign(treated.assign(line=["L1", missing, missing, missing]), "a.parquet")
    with pytest.raises(DataError, match=message):
        controls.assign(batches.assign(line=["L1", missing, missing, missing, missing]), "a.parquet")
    others = pair.assign(treated.assign(line=["L1", "L1", missing, missing]), "a.parquet")
    assert others.tolist() == ["source", "target", "extrapolation", ""]


def test_a_controls_design_names_each_events_population(batches):
    # An event to train on that has no batch is left out.
    expected = ["control b1", "control b2", "extrapolation b2", "", ""]
    assert CONTROLS.assign(batches, "a.parquet").tolist() == expected


def test_a_controls_design_reads_only_its_columns():
    assert CONTROLS.columns == ("batch_id", "role")


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, ""], ids=["None", "nan", "NA", "empty"])
def test_a_control_without_a_batch_is_refused(batches, missing):
    batches.loc[0, "batch_id"] = missing
    with pytest.raises(DataError, match=r"^a.parquet: 1 control events have no value in 'batch_id'\. Fill the column"):
        CONTROLS.assign(batches, "a.parquet")


def test_every_batch_but_the_reference_gets_an_edit_that_leads_there():
    counts = {"control b2": 50, "control b1": 50, "control b3": 50, "extrapolation b2": 1}
    assert CONTROLS.edits(counts) == [
        EditPair("b2", ("control b2",), ("control b1",)),
        EditPair("b3", ("control b3",), ("control b1",)),
    ]


def test_pooled_controls_are_the_target_of_every_batch():
    design = ControlsDesign(control={"role": "control"}, reference="pooled")
    both = ("control b1", "control b2")
    assert design.edits({"control b2": 50, "control b1": 50}) == [
        EditPair("b1", ("control b1",), both),
        EditPair("b2", ("control b2",), both),
    ]


@pytest.mark.parametrize("dtype", ["int64", "Int64", "category"])
def test_numeric_batch_ids_are_named_by_their_digits(dtype):
    events = pd.DataFrame({"batch_id": pd.Series([1, 12]).astype(dtype), "role": ["control", "control"]})
    assert CONTROLS.assign(events, "a.parquet").tolist() == ["control 1", "control 12"]
    design = ControlsDesign(control={"role": "control"}, reference="12")
    assert [pair.name for pair in design.edits({"control 1": 50, "control 12": 50})] == ["1"]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, r"Found controls \{'role': 'control'\} in 0 batch\(es\) of column 'batch_id'; expected at least 2"),
        ({"control b1": 99, "extrapolation b2": 9}, r"in 1 batch\(es\) of column 'batch_id': 'b1'; expected at least"),
        ({"control b1": 99, "control b2": 1}, r"population 'control b2' has 1 event; expected at least 50"),
        (
            {"control B-1": 50, "control b2": 50},
            r"reference batch 'b1' has no control events \(batches with controls: 'B-1', 'b2'; nearest name 'B-1'\)\. "
            r"Correct design.reference, or use 'pooled'",
        ),
    ],
    ids=["no controls", "one batch", "one-row control", "reference"],
)
def test_a_controls_design_that_cannot_be_fitted_is_refused(counts, message):
    with pytest.raises(DataError, match=message):
        CONTROLS.edits(counts)


def test_all_column_values_must_hold(batches):
    assert select(batches, {"batch_id": "b2", "role": "validation"}).tolist() == [False, False, True, False, False]


def test_no_column_values_choose_every_event(batches):
    assert select(batches, {}).all()


@pytest.mark.parametrize(
    ("values", "value", "expected"),
    [
        ([1, 2, 2], 2, [False, True, True]),
        ([1, 2, 2], "2", [False, True, True]),
        ([0.5, 1.0, np.nan], 0.5, [True, False, False]),
        ([True, False, True], True, [True, False, True]),
        (pd.array([1, None, 2], dtype="Int64"), 2, [False, False, True]),
        (pd.array(["a", None, "b"], dtype="string"), "b", [False, False, True]),
        (pd.Categorical(["a", "b", "a"]), "a", [True, False, True]),
    ],
    ids=["integer", "integer as text", "number", "boolean", "nullable", "missing text", "categorical"],
)
def test_values_are_compared_in_the_columns_own_type(values, value, expected):
    chosen = select(pd.DataFrame({"x": values}), {"x": value})
    assert chosen.tolist() == expected
    assert chosen.dtype == bool


def test_a_frame_with_any_index_is_assigned_by_position(batches):
    shuffled = batches.set_axis([9, 9, 3, 1, 0], axis=0)
    assert CONTROLS.assign(shuffled, "a").tolist() == CONTROLS.assign(batches, "a").tolist()


def test_a_column_that_chooses_events_must_exist():
    with pytest.raises(
        DataError,
        match=r"^a.parquet: the column 'batch_id' is missing; it chooses the events of a population "
        r"\(columns found: 'CD3', 'batch'; nearest name 'batch'\)\. Correct the name, or add the column\.$",
    ):
        check_design_columns(["CD3", "batch"], CONTROLS.columns, "a.parquet")
    check_design_columns(["batch_id", "role", "CD3"], CONTROLS.columns, "a.parquet")


def test_a_list_of_values_means_one_of_them():
    events = pd.DataFrame({"donor": ["P1", "P2", "P3"], "dose": [0, 1, 2]})
    assert select(events, {"donor": ["P1", "P3"]}).tolist() == [True, False, True]
    assert select(events, {"donor": ["P1", "P3"], "dose": [1, 2]}).tolist() == [False, False, True]


def test_an_extrapolation_choice_without_events_is_an_error_in_a_controls_design():
    design = ControlsDesign(control={"role": "control"}, reference="a", extrapolation={"role": "patient"})
    with pytest.raises(DataError, match=r"extrapolation population \{'role': 'patient'\} has no events"):
        design.edits({"control a": 90, "control b": 80})


def test_a_choice_takes_events_by_their_values_in_one_population_or_in_one_per_value():
    events = pd.DataFrame({"role": ["control", "control", "patient", "control"], "kind": ["T", None, "T", "B"]})
    assert list(EventChoice({"role": "control"}).assign(events, "f")) == [ALL_EVENTS, ALL_EVENTS, "", ALL_EVENTS]
    assert list(EventChoice({"role": "control"}, by="kind").assign(events, "f")) == ["T", "", "", "B"]
    assert set(EventChoice({}).assign(events, "f")) == {ALL_EVENTS}
    assert EventChoice({"role": "control"}, by="kind").columns == ("role", "kind")
