import numpy as np
import pandas as pd
import pytest
from neuronedit_jobs.benchmarks.review.planted import SHIFT, planted_cells, planted_model, planted_neurons

from neuronedit.review.neurons.context import LabelColumns
from neuronedit.review.page.edit_review import PARTS, EditReview, Feature, review_edit
from neuronedit.review.part import FAMILIES
from neuronedit.review.subject import EditSubject


@pytest.fixture(scope="module")
def reviewed() -> EditReview:
    source, target, other = planted_cells(600, 0), planted_cells(600, 1, shift=SHIFT), planted_cells(300, 2)
    model = planted_model(source, target)
    subject = EditSubject.from_model(model, "pair", source.labelled, target.labelled, {"donor 2": other.labelled})
    return review_edit("pair", subject, model, LabelColumns(cell_type="type", donor="nobody"), [model.autoencoder])


def test_every_part_has_a_sentence_and_its_cost(reviewed):
    assert {part.family for part in reviewed.parts} <= set(FAMILIES)
    assert all(part.reading.endswith(".") for part in reviewed.parts)
    assert list(reviewed.seconds) == [part.name for part in reviewed.parts]
    assert list(reviewed.cost_table()["part"]) == list(reviewed.seconds)


def test_an_edit_of_one_layer_has_numbers_for_its_neurons_and_titles_without_a_place(reviewed):
    assert reviewed.neurons == "32 neurons of the layer code: the shift that the edit gives this layer"
    titles = {part.name: part.title for part in reviewed.parts}
    assert (titles["health"], titles["preferred"]) == ("Neuron health", "Preferred cells")
    assert "conductance_places" not in reviewed.tables
    called = [table["neuron"] for table in reviewed.tables.values() if "neuron" in table]
    assert len(called) > 10
    assert all(pd.api.types.is_integer_dtype(column) for column in called)
    assert len(reviewed.tables["ladder"]["neuron"].unique()) == 26  # all that live


def test_each_line_of_the_table_bears_the_name_of_the_part_that_it_makes(reviewed):
    names = {feature.name for feature in PARTS if isinstance(feature, Feature)}
    assert names - {part.name for part in reviewed.parts} == {
        "drift",
        "student",
    }  # the model is no update, and has no student


def test_numbers_for_comparing_models_are_finite_and_have_one_meaning(reviewed):
    names = [name for part in reviewed.parts for name in part.scalars]
    assert len(names) == len(set(names))
    assert np.isfinite(list(reviewed.scalars.values())).all()
    assert {"edit_cancellation", "top4_fraction", "composition_share", "dead_neurons", "max_abs_corr"} <= set(names)


def test_files_of_tables_and_figures_have_names_of_their_own(reviewed):
    tables = [name for part in reviewed.parts for name in part.tables]
    figures = [drawing.name for part in reviewed.parts for drawing in part.drawings]
    assert len(tables) == len(set(tables))
    assert len(figures) == len(set(figures))


def test_a_part_that_the_events_do_not_allow_says_why_and_the_others_go_on(reviewed):
    (gap,) = [part for part in reviewed.parts if part.name == "gap_nobody"]
    assert gap.reading.startswith("Cannot be said: The events have no label 'nobody' (labels: 'type'")


def test_what_needs_columns_or_descriptions_is_left_out_without_them_and_there_with_them():
    subject, model = planted_neurons(400), planted_model(planted_cells(400, 0), planted_cells(400, 1, shift=SHIFT))
    bare = review_edit("pair", subject, model, LabelColumns())
    assert not {"descriptions", "profiles", "refits", "next_sample"} & set(bare.seconds)
    described = review_edit("pair", subject, model, LabelColumns(), descriptions={"first": "L01+ L02-"})
    (part,) = [part for part in described.parts if part.name == "descriptions"]
    assert list(part.tables["descriptions"]["population"]) == ["first"]
