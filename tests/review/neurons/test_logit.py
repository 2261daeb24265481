"""How far each neuron's shift leads an event from source to target."""

from dataclasses import replace

import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import DEAD, EDITED_MARKERS, EDITED_NEURONS, MARKERS
from sklearn.metrics import roc_auc_score

from neuronedit.review.neurons.conductance import Conductance, edit_conductance
from neuronedit.review.neurons.logit import TargetHead, attribute_logit
from neuronedit.review.subject import EditSubject


def test_the_planted_neurons_lead_to_the_target_and_dead_ones_nowhere(
    planted_edit: EditSubject, planted_conductance: Conductance
) -> None:
    found = attribute_logit(planted_edit, TargetHead.fit(planted_edit), planted_conductance)
    assert set(np.argsort(-found.mean)[:2]) == set(EDITED_NEURONS)
    assert not found.values[:, DEAD].any()


def test_the_parts_of_each_event_sum_to_its_change_of_the_logit(
    trained_edit: EditSubject, trained_conductance: Conductance
) -> None:
    head = TargetHead.fit(trained_edit)
    found = attribute_logit(trained_edit, head, trained_conductance, 2)
    before, after = (
        head.logits(trained_edit.decode(activations))
        for activations in (trained_edit.source.activations, trained_edit.edited)
    )
    # Sums of 32 float32 numbers of about 0.1.
    np.testing.assert_allclose(found.values.sum(axis=1), after - before, atol=1e-5)


def test_the_head_tells_target_from_source_by_the_edited_markers(planted_edit: EditSubject) -> None:
    head = TargetHead.fit(planted_edit)
    edited = [MARKERS.index(marker) for marker in EDITED_MARKERS]
    assert set(np.argsort(-np.abs(head.weights))[:4]) == set(edited)
    logits = [head.logits(planted_edit.decode(part.activations)) for part in (planted_edit.source, planted_edit.target)]
    expected = roc_auc_score(np.repeat([0, 1], [len(part) for part in logits]), np.concatenate(logits))
    assert head.auroc == pytest.approx(expected)


def test_where_nothing_moves_ranks_cannot_be_compared(planted_edit: EditSubject) -> None:
    sample = planted_edit.sample(100, seed=0)
    still = replace(sample, edited=sample.source.activations)
    found = attribute_logit(still, TargetHead.fit(still), edit_conductance(still))
    assert not found.values.any()
    assert np.isnan(found.rank_correlation)
