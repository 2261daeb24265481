from dataclasses import replace

import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import MARKERS, N_LINEAGE, N_PROGRAMS, planted_neurons

from neuronedit.errors import DataError
from neuronedit.review.labels.descriptions import described_cells, descriptions_part, leave_types_out, parse
from neuronedit.review.labels.heads import Cells
from neuronedit.review.subject import EditSubject


@pytest.fixture(scope="module")
def subject() -> EditSubject:
    return planted_neurons(1_000)


def test_a_layer_without_the_lineage_neurons_cannot_express_the_types(subject):
    def without(population):
        activations = population.activations.copy()
        activations[:, N_PROGRAMS : N_PROGRAMS + N_LINEAGE] = 0
        return replace(population, activations=activations)

    blind = replace(subject, source=without(subject.source), target=without(subject.target))
    found, _ = leave_types_out(Cells.from_subject(blind, seed=0), "type")
    assert np.mean([described.auroc for described in found]) < 0.8


def test_what_nothing_can_be_said_of_is_told(subject):
    descriptions = {"functional": "P1a+ L01+", "lonely": "L01+", "nobody": "L01- L03-"}
    part = descriptions_part(subject, None, descriptions)
    reasons = part.tables["descriptions"].set_index("population")["reason"]
    assert reasons["functional"] == "cannot say: P1a has no positive cells apart from negative ones"
    assert reasons["lonely"] == "cannot say: L01 has no positive cells among those not described"
    assert reasons["nobody"].endswith("cells are as described")
    assert part.reading == "Nothing can be said of 3 described populations."
    assert not part.scalars
    part.drawings[0].draw()


def test_the_heads_neurons_are_those_of_the_described_markers(subject):
    part = descriptions_part(subject, "type", {"mine": "L05+ L06+"})
    row = part.tables["descriptions"].iloc[-1]
    assert {str(N_PROGRAMS + number) for number in (4, 5)} <= set(row["leading_neurons"].split(", "))
    assert row["auroc"] >= 0.95
    assert part.reading.startswith("The layer expresses 9 of 9 described populations that it was not fitted on")


def test_descriptions_are_read():
    assert parse("CD3+ CD56-", ("CD3", "CD56")) == {"CD3": 1, "CD56": -1}
    assert parse("HLA DR+, CD56−", ("HLA DR", "CD56")) == {"HLA DR": 1, "CD56": -1}
    positive = np.array([[True, False], [True, True], [False, False]])
    assert described_cells({"CD3": 1, "CD56": -1}, positive, ("CD3", "CD56")).tolist() == [True, False, False]


@pytest.mark.parametrize("text", ["L1+", "L01", "+"])
def test_a_description_of_unknown_markers_or_without_signs_is_refused(text):
    with pytest.raises(DataError, match=r"Description '.*': found '.*'; expected a marker of the panel and \+ or -"):
        parse(text, MARKERS)
