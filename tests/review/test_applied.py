"""The populations that edits are to be applied to, and the scope that a review makes of them."""

from dataclasses import replace

from neuronedit.adapters.sampling.review_events import HeldOut
from neuronedit.cells.design import ControlsDesign, PairDesign
from neuronedit.edits.support import Extrapolation
from neuronedit.measures.evidence import Knowledge
from neuronedit.model.example import example_cells, example_model
from neuronedit.model.standing import HeldOutEvidence
from neuronedit.review.applied import Applied, judge_applied, named_extrapolations, scope_of

NEAR = Extrapolation(0.02, 0.55, 0.3, 1.0)


def known(edit: str, level: str, error: float | None) -> Knowledge:
    return Knowledge(edit, level, error, proven=False, behind_map=None, text="")


def test_held_out_events_and_the_designs_extrapolation_are_judged() -> None:
    applied = judge_applied(
        example_model(),
        {"donor 2": ("pair", example_cells(seed=2))},
        {"source": example_cells(), "extrapolation": example_cells(seed=3) + 4_000},
    )
    assert {name: (each.held_out, each.n_events) for name, each in applied.items()} == {
        "donor 2 (held out)": (True, 400),
        "extrapolation": (False, 400),
    }
    assert not applied["donor 2 (held out)"].found.flagged
    assert applied["extrapolation"].found.flagged


def test_the_designs_extrapolation_is_named_by_its_column_values_and_its_edit_where_there_are_several() -> None:
    model, far = example_model(), {"extrapolation": example_cells(seed=3)}
    model = replace(model, design=model.design.model_copy(update={"extrapolation": {"cell_type": "NK"}}))
    assert list(judge_applied(model, {}, far)) == ["cell_type = NK"]
    both = replace(model, edits=dict.fromkeys(("pair", "pair inverse"), model.edits["pair"]))
    assert list(judge_applied(both, {}, far)) == ["cell_type = NK by pair", "cell_type = NK by pair inverse"]


def test_what_is_measured_after_a_first_review_without_truth_is_not_lost() -> None:
    """To measure the events to be edited and to hold them out is what a first review asks for."""
    model, cells = example_model(), {name: example_cells() for name in ("source", "target", "extrapolation")}
    model = replace(model, design=model.design.model_copy(update={"extrapolation": {"cell_type": "NK"}}))
    first = HeldOutEvidence().then(["pair", *named_extrapolations(model, cells)])
    now_measured = HeldOut({}, {"cell_type": "NK"}, {"cell_type": "NK", "drug": "PMA"})
    assert judge_applied(model, {}, now_measured.to_judge(model.design, cells)) == {}
    second = first.then(["pair", "NK", *named_extrapolations(model, cells)])
    assert (second.measured, second.lost) == (("pair", "NK", "cell_type = NK"), ())


def test_a_measured_error_is_of_held_out_events_and_an_estimated_one_of_others() -> None:
    design = ControlsDesign(control={"role": "control"}, reference="day1", extrapolation={"role": "patient"})
    held_out = design.model_copy(update={"control": {"role": "validation"}})
    applied = {
        "day2": Applied("day2", 900, NEAR, held_out=True),
        "extrapolation day2": Applied("day2", 800, NEAR, held_out=False),
        "extrapolation day3": Applied("day3", 700, NEAR, held_out=False),
        "extrapolation day4": Applied("day4", 600, NEAR, held_out=False),
    }
    levels = [known("day2", "measured", 1.2), known("day3", "estimated", 1.1), known("day4", "unknown", None)]
    scope = scope_of(applied, design, held_out, levels)
    assert {each.name: each.error for each in scope.populations} == {
        "batch_id = day2 and role = validation": 1.2,
        "batch_id = day2 and role = patient": None,
        "batch_id = day3 and role = patient": 1.1,
        "batch_id = day4 and role = patient": None,
    }
    assert [each.edit for each in scope.not_for] == ["day2", "day3"]


def test_an_inverse_edit_is_no_use_of_its_own() -> None:
    design = PairDesign(source={"t": "a"}, target={"t": "b"}, extrapolation={"t": "c"})
    applied = {name: Applied(name, 9, NEAR, held_out=False) for name in ("pair", "pair inverse")}
    assert [each.name for each in scope_of(applied, design, None, []).populations] == ["t = c"]
