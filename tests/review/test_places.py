"""Edits of several layers and networks: every neuron that is edited is looked at, and their parts sum to the edit."""

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from neuronedit_jobs.benchmarks.review.planted import SHIFT, planted_cells, planted_model

from neuronedit.arrays import Float32s
from neuronedit.cells.design import PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import fit_scaling
from neuronedit.edits.edit import Edit, fit_edit
from neuronedit.edits.operators import descent
from neuronedit.edits.operators.percentiles import PercentileShift, percentiles
from neuronedit.edits.operators.table import EditStep
from neuronedit.edits.plans import DEFAULT
from neuronedit.edits.spikes import Spikes
from neuronedit.edits.steps import FittedStep, Member, apply_steps
from neuronedit.edits.support import Support
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.review.neurons.conductance import edit_conductance, place_table, read_places
from neuronedit.review.neurons.context import LabelColumns, ReviewContext
from neuronedit.review.neurons.faithfulness import CONDUCTANCE, EMD, RANDOM, faithfulness
from neuronedit.review.neurons.ladder import MAX_CLIMBED
from neuronedit.review.neurons.logit import TargetHead, attribute_logit
from neuronedit.review.neurons.names import name_neurons
from neuronedit.review.page.edit_review import EditReview, review_edit
from neuronedit.review.page.html import render_neurons
from neuronedit.review.page.review_model import example_review
from neuronedit.review.subject import OWN_SHIFTS, EditSubject, LabelledEvents

MARKERS = ("A", "B", "C")
TINY = Architecture(hidden=(3,), code=3)
FAR = 20.0
"""Added before each leaky ReLU and taken away behind it, so that every hand-wired neuron is above its kink."""


def plain_network() -> Autoencoder:
    """Every neuron of every layer is its marker, but for a constant: encoder.1, code, decoder.1."""
    network = Autoencoder(3, TINY)
    with torch.no_grad():
        for linear, bias in zip(network.layers, (FAR, -FAR, FAR, -FAR), strict=True):
            linear.weight.copy_(torch.eye(3))
            linear.bias.fill_(bias)
    return network.eval().requires_grad_(False)


def constant(*shift: float) -> PercentileShift:
    return PercentileShift(np.zeros((1, 3), np.float32), np.array([shift], np.float32), "linear")


def step(shifts: Mapping[str, PercentileShift]) -> FittedStep:
    layers = tuple(shifts)
    return FittedStep(EditStep(layer=layers if len(layers) > 1 else layers[0]), shifts)


def events(seed: int) -> Float32s:
    return np.sinh(np.random.default_rng(seed).normal(2, 1, (300, 3))).astype(np.float32) * 5


def subject_of(*members: Member, n_networks: int = 2) -> tuple[EditSubject, EditModel]:
    panel = Panel(MARKERS, (5.0,) * 3)
    scaling = fit_scaling([events(0), events(1)], panel.transforms)
    source, target = (scaling.standardise(scaling.transform(events(seed))) for seed in (0, 1))
    support = Support.fit(source, target, seed=0)
    edit = Edit("pair", members, Spikes.none(3), support, percentiles(target))
    networks = tuple(plain_network() for _ in range(n_networks))
    model = EditModel(panel, scaling, networks, {"pair": edit}, PairDesign.of_arrays())
    return EditSubject.from_model(model, "pair", LabelledEvents(events(0)), LabelledEvents(events(1))), model


def change(subject: EditSubject, model: EditModel) -> Float32s:
    """What the edit does to each marker, mean over the source."""
    markers = subject.source.markers
    return (subject.edit.apply(model.autoencoders, markers) - markers).mean(axis=0)


TWO_LAYERS_OF_TWO_NETWORKS = (
    Member("trained", 0.75, 0, (step({"encoder.1": constant(1, 0, 0), "decoder.1": constant(0, 2, 0)}),)),
    Member("trained", 0.25, 1, (step({"encoder.1": constant(0, 0, 4), "decoder.1": constant(1, 0, 0)}),)),
)
"""Moves A by 0.75 / 2 · 1 + 0.25 / 2 · 1, B by 0.75 / 2 · 2, C by 0.25 / 2 · 4."""


@pytest.fixture(scope="module")
def wired() -> tuple[EditSubject, EditModel]:
    return subject_of(*TWO_LAYERS_OF_TWO_NETWORKS)


def test_each_place_has_a_name_of_its_own_and_its_weight_in_the_edit(wired: tuple[EditSubject, EditModel]) -> None:
    subject, _ = wired
    weights = {place.name: place.weight for place in subject.places}
    assert weights == {"1/encoder.1": 0.375, "1/decoder.1": 0.375, "2/encoder.1": 0.125, "2/decoder.1": 0.125}
    assert subject.neuron_names[:4] == ("1/encoder.1/0", "1/encoder.1/1", "1/encoder.1/2", "1/decoder.1/0")
    assert len(set(subject.neuron_names)) == subject.n_neurons == 12
    assert subject.seen_by == OWN_SHIFTS


def test_each_neurons_part_is_its_shift_by_the_places_weight_and_the_parts_sum_to_the_edit(
    wired: tuple[EditSubject, EditModel],
) -> None:
    subject, model = wired
    found = edit_conductance(subject)
    expected = np.zeros((4, 3, 3))
    for place, marker, moved in ((0, 0, 0.375), (1, 1, 0.75), (2, 2, 0.5), (3, 0, 0.125)):
        expected[place, marker, marker] = moved
    # Activations near 20 are float32's to about 1e-6.
    np.testing.assert_allclose(found.values, expected.reshape(12, 3), atol=1e-5)
    np.testing.assert_allclose(found.values.sum(axis=0), change(subject, model), atol=1e-5)
    assert found.completeness_error < 1e-5
    assert found.net_share.sum() == pytest.approx(1)


def test_the_places_are_told_by_what_they_make_of_the_change(wired: tuple[EditSubject, EditModel]) -> None:
    subject, _ = wired
    table = place_table(subject, edit_conductance(subject))
    # Of D = (0.5, 0.75, 0.5), of square 1.0625.
    assert dict(zip(table["place"], table["net_share"] * 1.0625, strict=True)) == pytest.approx(
        {"1/decoder.1": 0.5625, "2/encoder.1": 0.25, "1/encoder.1": 0.1875, "2/decoder.1": 0.0625}, abs=1e-4
    )
    assert table["place"][0] == "1/decoder.1"
    assert read_places(table) == (
        "Of what neurons do to the markers, 53% is by 1/decoder.1, 24% by 2/encoder.1, 18% by 1/encoder.1 and 6% by "
        "2/decoder.1."
    )


def test_neurons_of_all_places_are_added_until_all_that_neurons_do_is_reached(
    wired: tuple[EditSubject, EditModel],
) -> None:
    subject, _ = wired
    found = faithfulness(subject, edit_conductance(subject), seed=0)
    assert found.counts[-1] == 12
    assert [found.kept[order][-1] for order in (CONDUCTANCE, EMD, RANDOM)] == [1, 1, 1]
    # What is left of D's square: after B, after C, after the larger part of A, none.
    left = np.array([0.5, 0.25, 0.125**2, 0]) / 1.0625
    assert [found.kept_by(count) for count in (1, 2, 3, 4)] == pytest.approx(list(1 - left), abs=1e-4)


def test_a_neurons_name_is_by_its_own_network_and_layer(wired: tuple[EditSubject, EditModel]) -> None:
    subject, _ = wired
    names = name_neurons(subject, np.zeros(12))
    assert names.names == ("A↑", "B↑", "C↑") * 4
    assert names.table()["neuron"].tolist() == list(subject.neuron_names)


def test_parts_in_the_logit_sum_to_its_change_over_all_places(wired: tuple[EditSubject, EditModel]) -> None:
    subject, model = wired
    head = TargetHead(np.float32([1, 2, 3]), 0.0, 0.9)
    found = attribute_logit(subject, head, edit_conductance(subject))
    assert found.mean.sum() == pytest.approx(float(change(subject, model) @ head.weights), abs=1e-4)


def test_a_layer_edited_twice_is_a_place_each_time_and_the_second_sees_what_the_first_left() -> None:
    steps = (step({"code": constant(1, 0, 0)}), step({"code": constant(1, 1, 0)}))
    subject, model = subject_of(Member("code → code", 1.0, 0, steps), n_networks=1)
    assert [place.name for place in subject.places] == ["code", "code(2)"]
    seen = subject.source.activations
    np.testing.assert_allclose(seen[:, 3:] - seen[:, :3], np.tile([1, 0, 0], (300, 1)), atol=1e-5)
    found = edit_conductance(subject)
    np.testing.assert_allclose(found.values.sum(axis=0), [2, 1, 0], atol=1e-5)
    np.testing.assert_allclose(found.change, change(subject, model), atol=1e-5)
    assert faithfulness(subject, found, seed=0).kept[CONDUCTANCE][-1] == 1


def test_steps_of_markers_and_members_without_neurons_are_no_part_of_what_neurons_do() -> None:
    visible = step({"visible": constant(0, 0, 5)})
    members = (
        Member("visible → code", 0.5, 0, (visible, step({"code": constant(1, 0, 0)}))),
        Member("visible", 0.5, 0, (visible,)),
    )
    subject, _ = subject_of(*members, n_networks=1)
    assert [(place.layer, place.name, place.weight) for place in subject.places] == [("code", "", 0.5)]
    # The code's step sees what the markers' step left.
    seen, measured = subject.source.activations, subject.source.markers
    np.testing.assert_allclose(seen - measured, np.tile([0, 0, 5], (300, 1)), atol=1e-5)
    np.testing.assert_allclose(edit_conductance(subject).values.sum(axis=0), [0.5, 0, 0], atol=1e-5)


def test_of_several_networks_one_layer_each_is_told_by_its_network() -> None:
    steps = (step({"code": constant(1, 0, 0)}),)
    subject, _ = subject_of(*(Member("code", 0.5, number, steps) for number in (0, 1)))
    assert [place.name for place in subject.places] == ["1/code", "2/code"]
    assert edit_conductance(subject).values[:, 0].tolist() == pytest.approx([0.5, 0, 0, 0.5, 0, 0], abs=1e-5)


def test_an_only_place_has_numbers_and_is_the_whole_subject() -> None:
    subject, _ = subject_of(Member("code", 1.0, 0, (step({"code": constant(1, 0, 0)}),)), n_networks=1)
    assert subject.neuron_names == ()
    assert subject.at(0) is subject
    assert [each is subject for each in subject.each()] == [True]
    assert name_neurons(subject, np.zeros(3)).table()["neuron"].tolist() == [0, 1, 2]


def test_one_layer_of_the_first_network_can_be_looked_at_alone(wired: tuple[EditSubject, EditModel]) -> None:
    subject, model = wired
    sides = LabelledEvents(events(0)), LabelledEvents(events(1))
    alone = EditSubject.from_model(model, "pair", *sides, layer="decoder.1")
    np.testing.assert_array_equal(alone.edited, subject.at(1).edited)
    assert (alone.neuron_names, alone.weight) == ((), 1.0)


SMALL = Architecture(hidden=(12,), code=6)


@pytest.fixture(scope="module")
def fitted() -> tuple[EditSubject, EditModel]:
    """The default plan, briefly trained, in two networks of random weights."""
    source, target = planted_cells(400, 0), planted_cells(400, 1, shift=SHIFT)
    networks = tuple(Autoencoder(40, SMALL, seed).eval().requires_grad_(False) for seed in (0, 1))
    model = planted_model(source, target, autoencoder=networks[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(descent, "N_STEPS", 20)
        edit = fit_edit("pair", networks, DEFAULT, source.markers, target.markers, zeros=model.scaling.zeros)
    model = replace(model, autoencoders=networks, edits={"pair": edit})
    others = {"donor 2": planted_cells(200, 2).labelled}
    return EditSubject.from_model(model, "pair", source.labelled, target.labelled, others), model


@pytest.fixture(scope="module")
def reviewed(fitted: tuple[EditSubject, EditModel]) -> EditReview:
    subject, model = fitted
    columns = LabelColumns(cell_type="type", donor="donor")
    return review_edit("pair", subject, model, columns, model.autoencoders[1:], {"first": "L01+ L02-"})


def test_the_default_plans_neurons_sum_to_its_first_step(fitted: tuple[EditSubject, EditModel]) -> None:
    subject, model = fitted
    assert [(place.name, place.n_neurons) for place in subject.places] == [
        ("1/encoder.1", 12),
        ("1/decoder.1", 12),
        ("2/encoder.1", 12),
        ("2/decoder.1", 12),
    ]
    markers, neurons = subject.source.markers, np.zeros(40)
    for member in subject.edit.members:
        network = model.autoencoders[member.autoencoder]
        moved = apply_steps(member.steps[:1], network, markers) - markers
        neurons += member.weight * moved.mean(axis=0, dtype=np.float64)
    assert np.abs(neurons).max() > 0.1
    found = edit_conductance(subject)
    np.testing.assert_allclose(found.values.sum(axis=0), neurons, atol=1e-5)
    assert found.completeness_error < 1e-5


def test_every_neuron_of_the_default_plans_tables_bears_its_place(
    fitted: tuple[EditSubject, EditModel], reviewed: EditReview
) -> None:
    names = set(fitted[0].neuron_names)
    called = {
        name: table[column]
        for name, table in reviewed.tables.items()
        for column in ("neuron", "closest", "informed_by")
        if column in table
    }
    assert {"conductance", "conductance_neurons", "neuron_names", "logit", "ladder", "explanations"} <= set(called)
    assert {"localisation", "dependence", "confounding", "pruning", "cycle_neurons", "refit_matches"} <= set(called)
    assert {name for name, column in called.items() if not set(column) <= names} == set()
    assert set(called["conductance_neurons"]) == set(called["explanations"]) == set(called["cycle_neurons"]) == names
    assert set(reviewed.tables["neuron_tree"][["first", "second"]].to_numpy().ravel()) <= names


def test_parts_that_one_layer_has_say_which(fitted: tuple[EditSubject, EditModel], reviewed: EditReview) -> None:
    subject, model = fitted
    first = place_table(subject, edit_conductance(subject))["place"][0]
    of_one = {part.name for part in reviewed.parts if part.title.endswith(f", {first}")}
    assert of_one == {
        *("preferred", "health", "pruning", "refits", "next_sample", "matching", "patterns", "descriptions"),
        *("ranges_type", "ranges_donor", "gap_donor"),
    }
    assert reviewed.neurons.startswith(
        "48 neurons, 12 of 1/encoder.1, 12 of 1/decoder.1, 12 of 2/encoder.1 and 12 of 2/decoder.1: the shifts that "
        "the edit gives these layers"
    )
    of_second = replace(ReviewContext(subject, model, refits=model.autoencoders[1:]), subject=subject.at(2))
    assert of_second.other_networks == model.autoencoders[:1]


def test_the_default_plans_page_and_figures_are_drawn(reviewed: EditReview) -> None:
    assert not [part.reading for part in reviewed.parts if part.reading.startswith("Cannot be said")]
    page = render_neurons(replace(example_review(), edits=(reviewed,)))
    assert re.search(r"Of what neurons do to the markers, \d+% is by [12]/(en|de)coder\.1", page)
    assert "conductance_places" in page
    (conductance,) = [part for part in reviewed.parts if part.name == "conductance"]
    labels = [label.get_text() for label in conductance.drawings[0].draw().axes[0].get_yticklabels()]
    assert all(re.match(r"[12]/(en|de)coder\.1/\d+: ", label) for label in labels)


def test_ladders_are_climbed_of_the_first_neurons_of_all_places(
    fitted: tuple[EditSubject, EditModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    from neuronedit.review.neurons import ladder

    subject, model = fitted
    context = ReviewContext(subject, model)
    assert MAX_CLIMBED >= 48  # none is left out above
    monkeypatch.setattr(ladder, "MAX_CLIMBED", 5)
    order = np.array([40, 3, 2, 13, 47, *np.setdiff1d(np.arange(48), [40, 3, 2, 13, 47])])
    found = ladder.edit_ladder(subject, lambda place: context.each[place].cells, order, seed=0)
    assert found.neurons.tolist() == [2, 3, 13, 40, 47]
    assert found.table()["neuron"].drop_duplicates().tolist() == [2, 3, 13, 40, 47]
    alone = ladder.activation_ladder(subject.at(1), context.each[1].cells, 0, np.array([1]))
    np.testing.assert_array_equal(found.cells[2], alone.cells[0])
