import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import (
    EDITED_MARKERS,
    MARKERS,
    N_NEURONS,
    N_TYPES,
    SHIFT,
    TYPES,
    planted_neurons,
)

from neuronedit.edits.mix.composition import match
from neuronedit.errors import DataError
from neuronedit.review.neurons.conductance import edit_conductance
from neuronedit.review.populations.confounding import confounding_part, judge_confounding
from neuronedit.review.populations.matching import matching_part, refit_on_matched
from neuronedit.review.subject import EditSubject

SKEWED = np.r_[0.55, np.full(N_TYPES - 1, 0.45 / (N_TYPES - 1))]
EDITED = np.isin(MARKERS, EDITED_MARKERS)


def weights(subject: EditSubject) -> np.ndarray:
    return edit_conductance(subject).share


@pytest.fixture(scope="module")
def confounded() -> EditSubject:
    return planted_neurons(target_mix=SKEWED)


def test_kinds_that_were_found_give_the_verdict_of_labels(confounded):
    by_labels, by_kinds = (
        judge_confounding(confounded, weights(confounded), column, seed=0) for column in ("type", None)
    )
    assert by_kinds.share == pytest.approx(by_labels.share, abs=0.02)


def test_without_overlap_nothing_is_identifiable():
    half = np.repeat([2 / N_TYPES, 0], N_TYPES // 2)
    subject = planted_neurons(500, target_mix=half)
    part = confounding_part(subject, np.ones(N_NEURONS), "type")
    assert part.reading == "Red: not identifiable."
    assert part.warning.startswith("Composition: stratum 'type")
    assert not part.scalars
    assert "Name a column of cell types to be sure" not in part.warning
    assert "Name a column of cell types to be sure" in confounding_part(subject, np.ones(N_NEURONS)).warning
    assert matching_part(subject, "type").reading == "The mix cannot be matched."


def test_the_part_is_a_traffic_light_with_its_numbers(few_planted, confounded):
    green, red = (confounding_part(subject, weights(subject), "type") for subject in (few_planted, confounded))
    assert green.reading.startswith("Green, clean: 0% of the difference between source and target")
    assert green.warning == ""
    share = red.scalars["composition_share"]
    assert red.reading.startswith(f"Red, confounded: {share:.0%} of the difference")
    assert red.warning.startswith(f"The mix differs: {TYPES[0]} is 1")
    table = red.tables["confounding"]
    mix, state = (float((table["weight"] * table[column]).sum()) for column in ("by_mix", "by_state"))
    assert share == pytest.approx(mix / (mix + state))
    assert "Name a column of cell types to be sure" not in red.warning
    red.drawings[0].draw()


def test_a_matched_edit_keeps_the_effect(confounded):
    composition = match(confounded.source.markers, confounded.target.markers, seed=0)
    _, after = refit_on_matched(confounded, composition).rms
    # The effect is one shift of all types: 2,000 events of spread 1.3 know it to 0.05.
    assert after[EDITED] == pytest.approx(SHIFT, abs=0.15)


def test_before_and_after_are_shown_by_marker(confounded):
    part = matching_part(confounded, "type")
    assert list(part.tables["matching"]["marker"]) == list(MARKERS)
    assert part.scalars["change_by_mix"] > 0.3
    assert part.drawings[0].reading.startswith("Matching changes the shift of ")
    part.drawings[0].draw()


def test_a_column_that_is_not_there_is_told(few_planted):
    with pytest.raises(DataError, match="no label 'celltype'"):
        confounding_part(few_planted, np.ones(N_NEURONS), "celltype")
