import numpy as np
import pandas as pd
import pytest

from neuronedit.design import ControlsDesign, EditPair, PairDesign, check_design_columns, select
from neuronedit.errors import DataError

EVENTS = pd.DataFrame(
    {
        "batch_id": ["a", "a", "b", "b", "c", None],
        "role": ["control", "patient", "control", "patient", "patient", "patient"],
        "dose": [0.0, 0.5, 0.0, 0.5, 0.5, 0.0],
    }
)
CONTROLS = ControlsDesign(control={"role": "control"}, reference="a", extrapolation={"role": "patient"})
PAIR = PairDesign(source={"dose": 0}, target={"dose": 0.5, "role": "patient"})


def test_controls_are_named_by_their_batch() -> None:
    assert CONTROLS.assign(EVENTS, "x").tolist() == [
        "control a",
        "extrapolation a",
        "control b",
        "extrapolation b",
        "extrapolation c",
        "",
    ]


def test_a_pairs_sides_are_chosen_by_all_column_values() -> None:
    design = PAIR.model_copy(update={"extrapolation": {"role": "patient"}})
    assert design.assign(EVENTS, "x").tolist() == ["source", "target", "source", "target", "target", "source"]


def test_text_matches_numbers_and_categories() -> None:
    events = pd.DataFrame({"batch_id": [1, 2], "kind": pd.Categorical(["t", None])})
    assert select(events, {"batch_id": "2"}).tolist() == [False, True]
    assert select(events, {"batch_id": 2}).tolist() == [False, True]
    assert select(events, {"kind": "t"}).tolist() == [True, False]


def test_every_batch_but_the_reference_gets_an_edit() -> None:
    assert CONTROLS.edits({"control a": 90, "control b": 80, "extrapolation c": 3}) == [
        EditPair("b", ("control b",), ("control a",))
    ]


def test_a_pooled_reference_gives_every_batch_an_edit() -> None:
    pooled = CONTROLS.model_copy(update={"reference": "pooled"})
    both = ("control a", "control b")
    assert pooled.edits({"control a": 90, "control b": 80}) == [
        EditPair("a", ("control a",), both),
        EditPair("b", ("control b",), both),
    ]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, r"Found controls \{'role': 'control'\} in 0 batch\(es\) of column 'batch_id'; expected at least 2"),
        ({"control a": 500}, r"in 1 batch\(es\) of column 'batch_id': 'a'; expected at least 2"),
        ({"control a": 500, "control b": 1}, r"population 'control b' has 1 event; expected at least 50"),
        (
            {"control A1": 500, "control b": 500},
            r"reference batch 'a' has no control events \(.*: 'A1', 'b'",
        ),
    ],
)
def test_controls_that_cannot_be_fitted_are_explained(counts: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        CONTROLS.edits(counts)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"target": 500}, r"population 'source' has 0 events; expected at least 50 to estimate percentiles"),
        ({"source": 500, "target": 1}, r"population 'target' has 1 event; expected"),
    ],
)
def test_empty_and_one_row_populations_are_explained(counts: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        PAIR.edits(counts)


def test_an_empty_extrapolation_population_is_an_error() -> None:
    design = PAIR.model_copy(update={"extrapolation": {"role": "nobody"}})
    with pytest.raises(DataError, match=r"extrapolation population \{'role': 'nobody'\} has no events"):
        design.edits({"source": 60, "target": 60})


def test_an_event_cannot_be_source_and_target() -> None:
    design = PairDesign(source={"role": "patient"}, target={"dose": 0.5})
    with pytest.raises(DataError, match=r"x\.parquet: 3 events are source and target at once"):
        design.assign(EVENTS, "x.parquet")


def test_a_control_without_a_batch_is_an_error() -> None:
    events = EVENTS.assign(role="control")
    with pytest.raises(DataError, match=r"x: 1 control events have no value in 'batch_id'"):
        CONTROLS.assign(events, "x")


def test_a_missing_column_is_named_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"column 'batch_id' is missing.*found: 'batch', 'CD3'; nearest name 'batch'"):
        check_design_columns(["batch", "CD3"], CONTROLS.columns, "x")


def test_events_are_not_modified() -> None:
    before = EVENTS.copy()
    CONTROLS.assign(EVENTS, "x")
    pd.testing.assert_frame_equal(EVENTS, before)
    assert np.array_equal(EVENTS.columns, before.columns)
