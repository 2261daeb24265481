"""What neurons are called, and when they may be."""

import numpy as np
import pandas as pd
import pytest
from neuronedit_jobs.benchmarks.review.planted import DEAD, EDITED_PROGRAM, N_LINEAGE, PER_PROGRAM, wired

from neuronedit.review.neurons.conductance import Conductance
from neuronedit.review.neurons.names import SILENT, NeuronNames, name_neurons
from neuronedit.review.subject import EditSubject


@pytest.fixture(scope="module")
def planted(planted_edit: EditSubject, planted_conductance: Conductance) -> NeuronNames:
    return name_neurons(planted_edit, planted_conductance.neuron_cancellation)


@pytest.fixture(scope="module")
def trained(trained_edit: EditSubject, trained_conductance: Conductance) -> NeuronNames:
    return name_neurons(trained_edit, trained_conductance.neuron_cancellation)


def test_planted_neurons_read_the_markers_that_they_were_wired_to_and_are_trusted(planted: NeuronNames) -> None:
    live = [neuron for neuron in range(len(planted.names)) if neuron not in DEAD]
    assert [set(planted.read_names[neuron].replace("↑", "").split()) for neuron in live] == list(map(wired, live))
    assert planted.trusted[live].all()


def test_dead_neurons_have_no_name(planted: NeuronNames) -> None:
    assert [planted.names[neuron] for neuron in DEAD] == [SILENT] * len(DEAD)
    assert not planted.trusted[list(DEAD)].any()


def test_one_spread_of_a_planted_neuron_writes_so_many_spreads_of_its_marker(
    planted: NeuronNames, planted_edit: EditSubject
) -> None:
    events = np.concatenate([planted_edit.source.markers, planted_edit.target.markers])
    # The neuron reads the mean of four markers, and writes half of it to each.
    program = events[:, N_LINEAGE + PER_PROGRAM : N_LINEAGE + 2 * PER_PROGRAM]
    expected = program.mean(axis=1).std() / program[:, 0].std() / 2
    assert planted.writes[EDITED_PROGRAM, N_LINEAGE + PER_PROGRAM] == pytest.approx(expected, rel=1e-4)


def test_reads_are_correlations(planted: NeuronNames, planted_edit: EditSubject) -> None:
    activations, markers = (
        np.concatenate([getattr(planted_edit.source, name), getattr(planted_edit.target, name)])
        for name in ("activations", "markers")
    )
    assert planted.reads[3, 7] == pytest.approx(np.corrcoef(activations[:, 3], markers[:, 7])[0, 1], abs=1e-6)
    assert not planted.reads[list(DEAD)].any()


def test_no_name_of_a_plain_autoencoder_is_trusted_whose_work_others_undo(trained: NeuronNames) -> None:
    assert not trained.trusted[trained.cancellation >= 0.5].any()
    assert trained.trusted.mean() < 0.2


def test_a_fall_is_told_from_a_rise_and_disagreement_is_seen() -> None:
    writes = np.array([[-1.0, 0.6, 0.1], [0.0, 0.0, 2.0]])
    reads = np.array([[-0.9, -0.5, 0.1], [0.8, 0.1, 0.2]])
    found = NeuronNames(("A", "B", "C"), writes, reads, np.array([0.1, 0.1]))
    assert found.names == ("A↓ B↑", "C↑")
    assert found.read_names == ("A↓ B↓", "A↑")
    assert found.agreement.tolist() == [0.5, 0]
    assert found.trusted.tolist() == [True, False]


def test_names_stand_beside_neurons_in_any_table(planted: NeuronNames) -> None:
    table = planted.beside(pd.DataFrame({"rank": [1, 2], "neuron": [26, 5], "share": [0.5, 0.2]}))
    assert list(table.columns) == ["rank", "neuron", "name", "trusted", "share"]
    assert table["name"].tolist() == [SILENT, "L01↑"]
    assert table["trusted"].tolist() == [False, True]
