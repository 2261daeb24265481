"""Columns of the neuron table: joint dependence, receptive fields, the donor gap."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from neuronedit_jobs.benchmarks.review.planted import DEAD, DONOR_MARKER, N_LINEAGE, N_PROGRAMS, planted_neurons

from neuronedit.errors import DataError
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.review.labels.donor_gap import donor_gap, donor_gap_part
from neuronedit.review.labels.strata import Strata
from neuronedit.review.neurons.receptive import (
    dependence_part,
    exceedance_ratios,
    localisation_part,
    participation,
    receptive_fields,
)
from neuronedit.review.subject import EditSubject

PROGRAMS, LINEAGE = slice(N_PROGRAMS), slice(N_PROGRAMS, N_PROGRAMS + N_LINEAGE)
DONOR_NEURON = N_PROGRAMS + DONOR_MARKER


def gap_within(subject: EditSubject, donor: str, given: str | None) -> np.ndarray:
    return donor_gap(subject.pooled, Strata.of(subject.pooled, donor, given), seed=0)


@pytest.fixture(scope="module")
def subject() -> EditSubject:
    return planted_neurons(donor_gap=0.2)


def test_a_programs_extremes_need_its_markers_together_and_a_single_markers_do_not(subject):
    ratios = exceedance_ratios(subject, seed=0)
    # Scrambling leaves a single marker's values as they are.
    np.testing.assert_allclose(ratios[LINEAGE], 1)
    assert np.isnan(ratios[list(DEAD)]).all()
    reading = dependence_part(subject).reading
    assert reading.startswith("6 of 26 live neurons need markers that go together")
    assert reading.endswith("20 are as extreme without.")


def test_scrambling_leaves_the_source_as_it_is(subject):
    before = subject.source.markers.copy()
    exceedance_ratios(subject, seed=0)
    np.testing.assert_array_equal(subject.source.markers, before)


def test_a_field_of_one_marker_participates_wholly_and_one_of_four_by_a_quarter(subject):
    ratios = participation(receptive_fields(subject, seed=0))
    np.testing.assert_allclose(ratios[LINEAGE], 1)
    # The spreads of a program's four markers differ by a few percent.
    np.testing.assert_allclose(ratios[PROGRAMS], 0.25, atol=0.01)
    part = localisation_part(subject)
    assert part.reading.startswith("20 of 26 live neurons are moved by one or two markers")
    assert list(part.tables["localisation"]["leading_marker"][LINEAGE]) == [f"L{n:02}" for n in range(1, 21)]


def test_fields_are_the_networks_derivatives(subject):
    network = Autoencoder(subject.source.markers.shape[1], Architecture(hidden=(9,), code=4)).requires_grad_(False)
    places = (replace(subject.place, autoencoder=network),)
    few = replace(subject, places=places, source=subject.source.subset(np.arange(3)), edited=subject.edited[:3])
    found = receptive_fields(few, seed=0)
    jacobians = [
        torch.autograd.functional.jacobian(lambda x: network.encode(x[None], "code")[0], torch.from_numpy(event))
        for event in few.source.markers
    ]
    expected = np.sqrt(np.mean(np.square(jacobians), axis=0)) * few.source.markers.std(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_donors_marker_is_the_first_of_the_gap(subject):
    gap = gap_within(subject, "donor", "type")
    assert gap.argmax() == DONOR_NEURON
    assert np.delete(gap, DONOR_NEURON).max() < gap[DONOR_NEURON] / 5
    assert (gap[list(DEAD)] == 0).all()
    part = donor_gap_part(subject, "donor", "type")
    assert part.reading.startswith(
        f"Neuron {DONOR_NEURON}, which L03 moves most, tells most of the donor, within one side of the edit and type"
    )
    assert part.scalars["gap_donor"] == pytest.approx(gap.max())
    part.drawings[0].draw()


def test_what_types_tell_is_not_counted_as_a_gap(subject):
    alone = gap_within(subject, "type", None)
    given = gap_within(subject, "type", "type")
    assert alone[DONOR_NEURON] > 0.3
    assert (given == 0).all()


def test_too_few_events_of_every_type_are_told():
    few = planted_neurons(100)
    with pytest.raises(DataError, match=r"the largest of 16 groups of one side of the edit and type has \d+ events"):
        gap_within(few, "donor", "type")


def test_a_donor_that_each_side_has_for_itself_is_not_told_apart_from_it(subject):
    part = donor_gap_part(subject, "condition", "type")
    assert part.reading == (
        "Cannot be said: condition is the same for all events of one side of the edit and type, so that it cannot be "
        "told apart from the batch and the type."
    )
    assert (part.tables, part.drawings, part.scalars) == ({}, (), {})
