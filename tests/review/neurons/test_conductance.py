"""Through which neurons an edit changes which markers."""

from dataclasses import replace

import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import DEAD, EDITED_MARKERS, EDITED_NEURONS, MARKERS, N_MARKERS, SHIFT

from neuronedit.network.autoencoder import VISIBLE
from neuronedit.review.neurons.conductance import Conductance, edit_conductance
from neuronedit.review.neurons.secants import Decoder, each_marker
from neuronedit.review.subject import EditSubject


def test_the_planted_neurons_have_the_share(planted_conductance: Conductance) -> None:
    assert planted_conductance.net_share[list(EDITED_NEURONS)].sum() >= 0.99
    assert set(planted_conductance.order[:2]) == set(EDITED_NEURONS)
    assert not planted_conductance.share[list(DEAD)].any()
    assert planted_conductance.share.sum() == pytest.approx(1)


def test_each_planted_neuron_does_half_of_what_the_edit_does_to_each_of_its_markers(
    planted_conductance: Conductance,
) -> None:
    edited = [MARKERS.index(marker) for marker in EDITED_MARKERS]
    # The shift of 10,000 events' percentiles is known to about 1.3 · √(2/10,000) = 0.02.
    np.testing.assert_allclose(planted_conductance.values[np.ix_(EDITED_NEURONS, edited)], SHIFT / 2, atol=0.05)


def test_nothing_cancels_where_each_neuron_has_markers_of_its_own(planted_conductance: Conductance) -> None:
    assert planted_conductance.cancellation == pytest.approx(0, abs=1e-9)
    assert planted_conductance.neuron_cancellation == pytest.approx(0, abs=1e-6)


def test_neurons_of_a_trained_network_undo_one_anothers_work(trained_conductance: Conductance) -> None:
    assert 0.5 < trained_conductance.cancellation < 1
    assert trained_conductance.net_share.sum() == pytest.approx(1)


@pytest.mark.parametrize("n_segments", [1, 3, 8])
def test_the_parts_sum_to_the_change_by_however_few_segments(trained_edit: EditSubject, n_segments: int) -> None:
    found = edit_conductance(trained_edit, n_segments)
    assert np.abs(found.change).max() > 1
    assert found.completeness_error < 1e-5


def test_more_segments_come_nearer_to_the_integral(trained_edit: EditSubject) -> None:
    sample = trained_edit.sample(200, seed=0)
    exact = edit_conductance(sample, 64).values
    errors = [np.abs(edit_conductance(sample, n_segments).values - exact).max() for n_segments in (1, 2, 8)]
    assert errors[0] > errors[1] > errors[2]
    # Of conductances up to 0.3; the error falls with the square of the number of segments.
    assert errors[2] < 2e-4


def test_slopes_at_an_event_are_the_derivatives(trained_edit: EditSubject) -> None:
    decoder = Decoder.at_layer(trained_edit.autoencoder, trained_edit.layer)
    events = trained_edit.source.activations[:200]
    slopes = np.concatenate(list(decoder.slopes(events, each_marker(N_MARKERS))))
    step = np.float32(1e-3)
    for neuron in (0, 5):
        moved = events.copy()
        moved[:, neuron] += step
        difference = (trained_edit.decode(moved) - trained_edit.decode(events)) / step
        # float32 differences over 0.001 are rounded to about 0.001; an event in fifty passes a kink on the way.
        assert (np.abs(difference - slopes[:, :, neuron]) < 5e-3).mean() > 0.95


def test_an_edit_that_does_nothing_has_no_shares(planted_edit: EditSubject) -> None:
    sample = planted_edit.sample(200, seed=0)
    found = edit_conductance(replace(sample, edited=sample.source.activations))
    assert not found.values.any()
    assert not found.share.any()
    assert not found.net_share.any()
    assert found.cancellation == 0


def test_the_visible_layers_neurons_are_the_markers(planted_edit: EditSubject) -> None:
    sample = planted_edit.sample(200, seed=0)
    before = replace(sample.source, activations=sample.source.markers)
    places = (replace(sample.place, layer=VISIBLE),)
    visible = replace(sample, places=places, source=before, edited=sample.source.markers + np.float32(1))
    np.testing.assert_allclose(edit_conductance(visible).values, np.eye(N_MARKERS), atol=1e-6)


def test_the_tables_say_the_same_in_the_order_of_what_carries_the_edit(trained_conductance: Conductance) -> None:
    table, by_neuron = trained_conductance.table(), trained_conductance.neuron_table()
    assert list(by_neuron["neuron"]) == list(trained_conductance.order)
    assert by_neuron["net_share"].abs().is_monotonic_decreasing
    row = table[(table["neuron"] == 7) & (table["marker"] == "P1b")].iloc[0]
    assert row["conductance"] == trained_conductance.values[7, MARKERS.index("P1b")]
