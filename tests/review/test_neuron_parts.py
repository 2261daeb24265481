"""What the page says and draws of an edit's neurons."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from neuronedit_jobs.benchmarks.review.planted import EDITED_NEURONS
from neuronedit_jobs.benchmarks.review.review_problems import Problems

from neuronedit.review.charts import DIVERGING, LESS, MAX_NEURONS, MORE, UNTRUSTED
from neuronedit.review.neurons.conductance import Conductance, conductance_figure, read_conductance, warn_conductance
from neuronedit.review.neurons.context import ReviewContext
from neuronedit.review.neurons.faithfulness import CONDUCTANCE, EMD, RANDOM, Faithfulness, read_faithfulness
from neuronedit.review.neurons.ladder import Ladder
from neuronedit.review.neurons.ladder_part import read_ladder, warn_ladder
from neuronedit.review.neurons.logit import LogitAttribution, logit_figure, read_logit, warn_logit
from neuronedit.review.neurons.names import ONE_VERSION, NeuronNames, read_names, warn_names
from neuronedit.review.neurons.preferred import PreferredCell, read_preferred
from neuronedit.review.page.edit_review import PARTS
from neuronedit.review.part import NOTHING, Part
from neuronedit.review.subject import EditSubject
from neuronedit.review.wording import Wording

NAMES = ["conductance", "faithfulness", "names", "logit", "ladder", "preferred"]

LED = Wording("of batch day1", "of the reference")

MARKERS = ("A", "B")
VALUES = np.array([[2.0, 0.0], [-0.5, 1.0], [0.5, -1.0]])
"""Neuron 0 does A; what 1 and 2 do to B cancels."""


@pytest.fixture(scope="module")
def planted(problems: Problems) -> dict[str, Part]:
    return neuron_parts(problems.planted_context)


@pytest.fixture(scope="module")
def trained(problems: Problems) -> dict[str, Part]:
    return neuron_parts(problems.trained_context)


def neuron_parts(context: ReviewContext) -> dict[str, Part]:
    return {part.name: make() for part in PARTS if part.name in NAMES for _, make in part.tasks(context)}


@pytest.fixture
def conductance() -> Conductance:
    return Conductance(MARKERS, VALUES, VALUES.sum(axis=0))


@pytest.fixture
def names(conductance: Conductance) -> NeuronNames:
    return NeuronNames(MARKERS, VALUES, VALUES, conductance.neuron_cancellation)


@pytest.mark.parametrize("which", ["planted", "trained"])
def test_every_part_has_a_reading_tables_and_finite_scalars(which: str, request: pytest.FixtureRequest) -> None:
    parts: dict[str, Part] = request.getfixturevalue(which)
    assert list(parts) == [part.name for part in parts.values()] == NAMES
    for part in parts.values():
        assert part.family == "neurons"
        assert part.reading.endswith(".")
        assert all(len(table) for table in part.tables.values())
        assert all(np.isfinite(value) for value in part.scalars.values())
        assert all(drawing.alt and drawing.reading.endswith(".") for drawing in part.drawings)
    assert {"edit_cancellation", "top4_fraction"} <= {name for part in parts.values() for name in part.scalars}


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_drawn_from_its_tables(trained: dict[str, Part], name: str) -> None:
    if name == "names":  # no neuron may be called by its name: the sentence says so, there is nothing to see
        assert not trained[name].drawings
        return
    (drawing,) = trained[name].drawings
    figure = drawing.draw()
    assert figure.axes
    # At the page's width of 1280 px (11 inches) and on paper.
    assert figure.get_size_inches()[0] <= 11
    figure.canvas.draw()


def test_a_plain_autoencoder_is_warned_of(trained: dict[str, Part]) -> None:
    assert "no neuron is the effect by itself" in trained["conductance"].warning
    assert trained["names"].reading.startswith("None of 32 neurons may be called")
    assert trained["conductance"].scalars["edit_cancellation"] > 0.5
    assert not trained["logit"].warning
    assert not trained["ladder"].warning


def test_the_planted_edit_is_told_by_its_neurons(planted: dict[str, Part]) -> None:
    assert planted["faithfulness"].scalars["top4_fraction"] >= 0.95
    first = planted["conductance"].tables["conductance_neurons"].head(2)
    assert set(first["neuron"]) == set(EDITED_NEURONS)
    assert first["trusted"].all()
    assert not planted["conductance"].warning
    assert ONE_VERSION in planted["names"].warning


def test_an_edit_that_does_nothing_has_its_page(planted_edit: EditSubject, problems: Problems) -> None:
    sample = planted_edit.sample(300, seed=0)
    still = replace(sample, edited=sample.source.activations)
    parts = neuron_parts(ReviewContext(still, problems.model))
    assert [parts[name].reading for name in ("conductance", "faithfulness", "logit")] == [NOTHING] * 3
    for part in parts.values():
        assert all(np.isfinite(value) for value in part.scalars.values())
        for drawing in part.drawings:
            drawing.draw().canvas.draw()


def test_the_conductance_sentence_names_neurons_that_carry_and_may_be_named(
    conductance: Conductance, names: NeuronNames
) -> None:
    assert names.trusted.tolist() == [True, False, False]
    # 4 of what neurons do remain 2 of A; B: all 2 undone, and of A's 3 one.
    assert read_conductance(conductance, names) == (
        "Neurons 0 (A↑), 1 and 2 carry 100% of what the edit does; 60% of what single neurons do to the markers is "
        "undone by others."
    )
    assert warn_conductance(conductance) == (
        "60% of what single neurons do is undone by others: the edit is the work of all together, and no neuron is the "
        "effect by itself."
    )
    assert not warn_conductance(replace(conductance, values=np.abs(VALUES)))


def test_the_names_sentences_count(names: NeuronNames) -> None:
    assert read_names(names) == (
        "1 of 3 neurons may be called by their names, as they read what they write and others undo less than half of "
        "it."
    )
    silent = replace(names, writes=VALUES * [[1], [1], [0]])
    assert "half of it; 1 write nothing." in read_names(silent)
    trusted = replace(names, cancellation=np.zeros(3))
    assert warn_names(trusted) == ONE_VERSION


def test_the_faithfulness_sentence_compares_orders() -> None:
    kept = {CONDUCTANCE: [0.5, 0.8, 0.95, 1.0], EMD: [0.4, 0.7, 0.9, 1.0], RANDOM: [0.0, 0.1, 0.2, 1.0]}
    curves = {order: np.array(values) for order, values in kept.items()}
    found = Faithfulness(np.array([1, 4, 8, 16]), curves, np.stack([curves[RANDOM]]))
    assert read_faithfulness(found) == (
        "The first 4 neurons by conductance keep 80% of the edit, by EMD 70%, in a random order 10%; "
        "8 of 16 keep nine tenths."
    )


def test_the_logits_warning_tells_of_another_ranking(names: NeuronNames) -> None:
    found = LogitAttribution(np.array([[0.1, 0.7, -0.2]], dtype=np.float32), auroc=0.9, rank_correlation=0.5)
    assert read_logit(found, names, LED) == (
        "A classifier tells events of the reference from events of batch day1 with AUROC 0.90; neurons 1 and 0 (A↑) "
        "lead there most; neurons rank by their part in it as by conductance with 0.50."
    )
    assert warn_logit(found, LED).startswith(
        "Neurons rank otherwise by the classifier than by conductance (rank correlation 0.50, below 0.8)"
    )
    assert not warn_logit(replace(found, rank_correlation=float("nan")), LED)


def test_a_ladder_whose_cells_miss_is_warned_of(names: NeuronNames) -> None:
    cells = np.zeros((1, 5, 2), dtype=np.float32)
    cells[0, :, 0] = [-2, -1, 0, 1, 2]
    levels = np.arange(5, dtype=np.float32)[None]
    found = Ladder(MARKERS, levels, levels, np.ones(1, np.float32), cells, np.full((1, 5), 0.8))
    assert read_ladder(found, 0, names) == (
        "From its 1st to its 99th percentile neuron 0 (A↑) goes with A (+4.0), B (0) standard deviations, between "
        "typical cells there; every cell of a ladder was measured."
    )
    assert not warn_ladder(found)
    assert warn_ladder(replace(found, reached=levels + np.float32(0.2))) == (
        "100% of the cells miss the activation asked for by more than 0.05 spreads: none was measured nearer."
    )


def test_the_preferred_cells_sentence_tells_what_was_measured() -> None:
    ones = np.ones(2, dtype=np.float32)
    found = PreferredCell(MARKERS, np.float32([3, 0.5]), ones, np.array([1.0, -0.1]), (-1.0, 2.0))
    assert read_preferred(found, LED) == (
        "Cells of which the classifier is surest that they are of the reference differ from the most similar ordinary "
        "cells of batch day1 most in A (+2.0; means of all +1.0), B (-0.5; means of all -0.1) standard deviations; all "
        "were measured."
    )


def test_colours_mean_the_same_in_bars_and_heatmaps() -> None:
    table = pd.DataFrame({"neuron": [0, 1], "name": "A↑", "trusted": True, "conductance": 1.0, "logit": [0.5, -0.5]})
    bars = {to_hex(bar.get_facecolor()).upper() for bar in logit_figure(table, LED).axes[1].patches}
    assert bars == {to_hex(DIVERGING(end)).upper() for end in (0.0, 1.0)} == {LESS, MORE}


@pytest.mark.parametrize("context", ["planted_context", "trained_context"])
def test_no_sentence_of_a_batch_edit_speaks_of_drugs(context: str, problems: Problems) -> None:
    found = getattr(problems, context)
    parts = neuron_parts(replace(found, subject=replace(found.subject.sample(500, seed=0), wording=LED)))
    for part in parts.values():
        for text in (part.title, part.reading, part.warning, *(f"{each.alt} {each.reading}" for each in part.drawings)):
            assert not re.search(r"treat|control|drug|e-\d", text)


def test_names_that_may_not_be_used_are_grey(conductance: Conductance, names: NeuronNames) -> None:
    figure = conductance_figure(names.beside(conductance.table()), names.beside(conductance.neuron_table()))
    labels = figure.axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["0: A↑", "1: B↑ A↓", "2: B↓ A↑"]
    assert [to_hex(label.get_color()) for label in labels] == ["#000000", UNTRUSTED, UNTRUSTED]


def test_the_heatmap_holds_the_conductances_and_prints_tell_their_signs(
    conductance: Conductance, names: NeuronNames
) -> None:
    axes = conductance_figure(names.beside(conductance.table()), names.beside(conductance.neuron_table())).axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), VALUES)
    assert axes.images[0].get_clim() == (-2, 2)
    assert [text.get_position() for text in axes.texts] == [(1, 2)]


def test_of_many_neurons_the_first_are_shown_and_that_is_said() -> None:
    table = pd.DataFrame({"neuron": np.arange(50), "name": "A↑", "trusted": True, "conductance": 1.0, "logit": 0.5})
    figure = logit_figure(table, LED)
    assert len(figure.axes[0].get_yticks()) == MAX_NEURONS
    assert figure.get_suptitle() == "the 20 of 50 neurons that come first"
