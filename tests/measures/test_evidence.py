import json

import pytest

from neuronedit.cells.design import ControlsDesign, PairDesign
from neuronedit.errors import ModelError
from neuronedit.measures.evidence import (
    EVIDENCE,
    EditEvidence,
    Knowledge,
    judge_knowledge,
    knowledge_sentence,
    read_evidence,
)
from tests.measures.test_left_out import left_out

PAIR = PairDesign(source={"dose": "0Gy"}, target={"dose": "10Gy"}, extrapolation={"line": "Cal33"})
DAYS = ControlsDesign(control={"role": "control"}, reference="day1")

ALIKE = EditEvidence(samples=left_out(0.2, 0.25, 0.3))
APART = EditEvidence(samples=left_out(0.2, 0.6, 1.0))
ONE = EditEvidence(samples=left_out(why_none="of donor, source and target have 1, 'P1', in common"))


def judge(design=PAIR, evidence=None, measured=None) -> tuple[Knowledge, ...]:
    edits = ["pair"] if design is PAIR else ["day2", "day3", "day2 inverse"]
    return judge_knowledge(edits, design, evidence or {}, measured or {})


def test_one_sample_leaves_it_unknown_and_the_sentence_says_what_to_measure():
    (known,) = judge(evidence={"pair": ONE})
    assert (known.level, known.error, known.proven) == ("unknown", None, False)
    assert knowledge_sentence([known]) == (
        "Unknown whether the edit carries over: of donor, source and target have 1, 'P1', in common. To know, measure "
        "some events of line = Cal33 after the change, too (as dose = 10Gy), and hold them out (held_out_source, "
        "held_out_target), or learn on several samples that source and target both have (design.sample_column)."
    )


def test_several_samples_alike_estimate_it():
    (known,) = judge(evidence={"pair": ALIKE})
    assert (known.level, known.proven) == ("estimated", True)
    assert known.error == pytest.approx((0.25 + 0.125) / 2)
    assert known.behind_map == pytest.approx(known.error - 0.5)
    told = knowledge_sentence([known])
    assert told.startswith("Estimated, not measured: fitted without each of 3 (donor: 'P1', 'P2', 'P3') in turn")
    assert told.endswith("must be expected (95%).")


def test_an_estimate_that_reaches_1_is_not_proven_and_says_what_to_measure():
    (known,) = judge(evidence={"pair": APART})
    assert (known.level, known.proven) == ("estimated", False)
    assert ", so doing nothing may be better. To know, measure some events of line = Cal33" in known.told()


@pytest.mark.parametrize(("energy", "proven"), [(0.4, True), (1.1, False)])
def test_held_out_truth_is_above_all_estimates_and_proves_if_both_distances_fall(energy, proven):
    (known,) = judge(evidence={"pair": APART}, measured={"pair": {"Cal33": {"emd": 0.2, "energy": energy}}})
    assert (known.level, known.proven) == ("measured", proven)
    assert known.told() == (
        f"Measured: on Cal33 (held out) the edit leaves {(0.2 + energy) / 2:.2f} of what there is to correct (0 is "
        "noise, 1 is doing nothing)."
    )


def test_the_worst_of_several_comparisons_is_told():
    errors = {name: {"emd": error, "energy": error} for name, error in (("a", 0.2), ("b", 0.7), ("c", 0.1))}
    (known,) = judge(measured={"pair": errors})
    assert known.text == "on 3 held-out comparisons, at worst b, the edit leaves 0.70 of what there is to correct"


def test_of_several_edits_the_lowest_level_is_told_and_inverses_are_known_as_what_they_undo():
    measured = {"day2": {"volunteer": {"emd": 0.3, "energy": 0.1}}}
    known = judge(DAYS, {"day3": ONE}, measured)
    assert [(each.edit, each.level) for each in known] == [("day2", "measured"), ("day3", "unknown")]
    assert knowledge_sentence(known).startswith("Unknown whether the edit carries over for 'day3': of donor, source")
    assert "To know, measure a sample of 'day3' that is no control in 'day1', too, and hold it out (held_out), or" in (
        knowledge_sentence(known)
    )


def test_of_edits_of_one_level_the_worst_is_told():
    measured = {name: {name: {"emd": error, "energy": error}} for name, error in (("day2", 0.3), ("day3", 0.6))}
    assert knowledge_sentence(judge(DAYS, measured=measured)).startswith(
        "Measured for 'day2', 'day3' (told of the worst, 'day3'): on day3 (held out) the edit leaves 0.60"
    )


def test_without_an_edit_that_changes_something_there_is_nothing_to_know():
    assert knowledge_sentence(judge_knowledge([], PAIR, {}, {})) == ""


def test_evidence_comes_back_from_a_models_facts():
    facts = json.loads(json.dumps({EVIDENCE: {"pair": APART.model_dump(mode="json")}}))
    assert read_evidence(facts) == {"pair": APART}


def test_damaged_evidence_is_told():
    facts = {EVIDENCE: {"pair": {"samples": {"column": "donor", "units": [{"name": "P1"}]}}}}
    with pytest.raises(ModelError, match=r"that this neuronedit does not know \(samples.units.0.n_events: Field requ"):
        read_evidence(facts)
