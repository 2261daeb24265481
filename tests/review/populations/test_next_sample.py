from dataclasses import replace

import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import TYPES, UNSEEN_TYPES, planted_cells, planted_model

from neuronedit.edits.operators.table import EditStep
from neuronedit.edits.plans import PRESETS
from neuronedit.errors import DataError
from neuronedit.review.populations.next_sample import (
    candidates_of,
    next_sample,
    next_sample_part,
    plan_of,
    read_next_sample,
)
from neuronedit.review.subject import SOURCE, EditSubject, Population


@pytest.fixture(scope="module")
def by_type() -> dict[str, np.ndarray]:
    """Events that were not trained on: of types that were, and of types that were not."""
    cells = [planted_cells(1_000, 5), planted_cells(1_000, 6, unseen=True)]
    names = TYPES + UNSEEN_TYPES
    return {names[of]: found.markers[found.types == of] for found in cells for of in np.unique(found.types)}


def test_fits_that_are_the_same_agree(trained_edit, by_type):
    found = next_sample(trained_edit, [trained_edit.autoencoder], by_type, seed=0)
    assert not found.scores.any()


def test_the_edits_own_step_on_neurons_is_tried_and_decoded():
    cells, treated = planted_cells(500, 0), planted_cells(500, 1, shift=1.0)
    plans = {"strata": PRESETS["neurons-strata"], "markers": PRESETS["quantile-map"]}
    for name, operator in (("strata", "strata"), ("markers", "linear")):
        model = planted_model(cells, treated, plans[name])
        (step,) = plan_of(EditSubject.from_model(model, "pair", cells.labelled, treated.labelled))
        assert (step.layer, step.operator, step.form) == ("code", operator, "plain")


def test_what_markers_are_moved_before_neurons_is_tried_too():
    cells, treated = planted_cells(500, 0), planted_cells(500, 1, shift=1.0)
    plan = (EditStep(layer="visible"), EditStep(layer="encoder"), EditStep(layer="code"))
    tried = plan_of(
        EditSubject.from_model(planted_model(cells, treated, plan), "pair", cells.labelled, treated.labelled)
    )
    assert tried == (plan[0], plan[1].model_copy(update={"form": "plain"}))


def test_the_part_names_the_population_to_be_measured(trained_edit, refits):
    part = next_sample_part(with_extrapolation(trained_edit), refits)
    assert part.reading.startswith("Measure new types next: fits disagree about its edited events by 0.")
    assert "times as much as about the source" in part.reading
    assert part.tables["next_sample"].loc[0, "population"] == "new types"
    assert part.scalars["max_discrepancy"] > part.scalars["source_discrepancy"] > 0
    assert " of 2 populations fits disagree more than for the source's own events (0." in part.drawings[0].reading
    assert part.drawings[0].draw().axes[0].get_yticklabels()[0].get_text() == "new types"


def test_a_label_splits_the_candidates_and_few_events_are_left_out(trained_edit):
    candidates = candidates_of(with_extrapolation(trained_edit), "type")
    assert {name.partition(", ")[2] for name in candidates} == {*TYPES, *UNSEEN_TYPES}
    assert min(map(len, candidates.values())) >= 50
    with pytest.raises(DataError, match=r"The events have no label 'tipe' \(labels: .*; nearest name 'type'\)"):
        candidates_of(with_extrapolation(trained_edit), "tipe")


def test_where_nothing_is_new_nothing_is_to_be_measured(trained_edit, refits):
    alone = next_sample(trained_edit, refits, {SOURCE: trained_edit.source.markers}, seed=0)
    assert read_next_sample(alone).startswith("No population is named to which the edit is to be applied")
    calm = {SOURCE: trained_edit.source.markers, "means": np.zeros((60, 40), np.float32)}
    assert read_next_sample(next_sample(trained_edit, refits, calm, seed=0)).startswith("Fits disagree about no ")


def test_without_refits_or_candidates_nothing_can_be_said(trained_edit, by_type):
    with pytest.raises(DataError, match=r"found 0 refits and 16 candidates; expected at least one of each\. Review"):
        next_sample(trained_edit, [], by_type, seed=0)


def with_extrapolation(subject: EditSubject) -> EditSubject:
    """The same neurons, with events of seen and of unseen types to be edited."""
    cells = {"known types": planted_cells(1_000, 5), "new types": planted_cells(1_000, 6, unseen=True)}
    others = {name: Population(of.markers, subject.encode(of.markers), of.labels) for name, of in cells.items()}
    return replace(subject, extrapolation=others)
