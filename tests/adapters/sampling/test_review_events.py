import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import SHIFT, PlantedCells, planted_cells, planted_model
from numpy.testing import assert_array_equal

from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.sampling.review_events import HeldOut, ReviewEvents, draw_review
from neuronedit.cells.design import ControlsDesign, EditPair, PairDesign
from neuronedit.cells.draw import DrawnPopulations, SampleConfig
from neuronedit.errors import ConfigError
from tests.synthetic_cells import SOURCE as SOURCE_OF_PAIR

SOURCE, TARGET = planted_cells(600, 0), planted_cells(500, 1, shift=SHIFT)
PAIR = EditPair("pair", ("source",), ("target",))


def drawn(**populations: PlantedCells) -> DrawnPopulations:
    labelled = {name: cells.labelled for name, cells in populations.items()}
    return DrawnPopulations(
        {name: events.intensities for name, events in labelled.items()},
        {name: len(events.intensities) for name, events in labelled.items()},
        {name: {"type": events.labels["type"]} for name, events in labelled.items()},
    )


@pytest.fixture(scope="module")
def events() -> ReviewEvents:
    held_out = drawn(source=planted_cells(300, 2), target=planted_cells(300, 3, shift=SHIFT))
    of_design = drawn(source=SOURCE, target=TARGET, extrapolation=planted_cells(200, 4))
    return ReviewEvents({"pair": PAIR}, of_design, {"pair": PAIR}, held_out, [])


def test_neurons_are_of_all_events_that_the_edit_is_for_with_what_is_known_of_each(events: ReviewEvents) -> None:
    neurons = events.subject(planted_model(SOURCE, TARGET), "pair")
    sizes = {name: len(population.markers) for name, population in neurons.populations.items()}
    assert sizes == {"source": 600, "target": 500, "extrapolation": 200, "held out": 300}
    for name, cells in {"source": SOURCE, "target": TARGET, "held out": planted_cells(300, 2)}.items():
        assert_array_equal(neurons.populations[name].label("type"), cells.labelled.labels["type"])


def test_populations_that_are_pooled_weigh_the_same_and_keep_their_labels() -> None:
    pooled = EditPair("pair", ("source",), ("target", "other"))
    of_design = drawn(source=SOURCE, target=TARGET, other=planted_cells(100, 5))
    neurons = ReviewEvents({"pair": pooled}, of_design, {}, None, []).subject(planted_model(SOURCE, TARGET), "pair")
    types = [cells.labelled.labels["type"][:100] for cells in (TARGET, planted_cells(100, 5))]
    assert_array_equal(neurons.target.label("type"), np.concatenate(types))


def test_held_out_events_are_populations_of_their_own(events: ReviewEvents) -> None:
    sizes = {name: len(each) for name, each in events.populations.items()}
    assert sizes == {
        "source": 600, "target": 500, "extrapolation": 200, "source, held out": 300, "target, held out": 300
    }  # fmt: skip


def test_an_edit_without_events_is_told(events: ReviewEvents) -> None:
    message = r"edits: the model has no edit 'pear' with events in this dataset \(edits: 'pair'; nearest name 'pair'\)"
    with pytest.raises(ConfigError, match=message):
        events.subject(planted_model(SOURCE, TARGET), "pear")


CONTROLS = ControlsDesign(control={"role": "control"}, reference="A", extrapolation={"role": "other"})
DRUG = PairDesign(source={"drug": "no"}, target={"drug": "yes"})
OTHER = {"role": "validation"}


def test_held_out_samples_take_the_place_of_the_designs_own() -> None:
    assert HeldOut(OTHER, {}, {}).design(CONTROLS) == ControlsDesign(control=OTHER, reference="A")
    before, after = {"donor": "2", "drug": "no"}, {"donor": "2", "drug": "yes"}
    assert HeldOut({}, before, after).design(DRUG) == PairDesign(source=before, target=after)
    assert HeldOut({}, {}, {}).design(CONTROLS) is HeldOut({}, {}, {}).design(DRUG) is None


def test_events_that_are_held_out_are_not_judged_a_second_time_as_those_to_be_edited() -> None:
    populations = dict.fromkeys(["source", "extrapolation", "extrapolation B"], np.zeros((2, 1), np.float32))
    named = CONTROLS.model_copy(update={"extrapolation": OTHER})
    assert list(HeldOut(OTHER, {}, {}).to_judge(named, populations)) == ["source"]
    assert list(HeldOut({"role": "third"}, {}, {}).to_judge(named, populations)) == list(populations)
    pair = DRUG.model_copy(update={"extrapolation": OTHER})
    assert list(HeldOut({}, OTHER, {"drug": "yes"}).to_judge(pair, populations)) == ["source"]
    assert list(HeldOut({}, {}, {}).to_judge(DRUG, populations)) == list(populations)


def test_held_out_samples_are_named_by_the_designs_column() -> None:
    by_donor = DRUG.model_copy(update={"sample_column": "donor", "extrapolation": OTHER})
    held_out = HeldOut({}, {"drug": "no"}, {"drug": "yes"}).design(by_donor)
    assert (held_out.sample_column, held_out.extrapolation) == ("donor", {})


@pytest.mark.usefixtures("tasks_here")
@pytest.mark.parametrize("number_wanted", [200, 20_000])
def test_events_that_an_edit_was_fitted_on_cannot_be_held_out(pair_model, cells_once, number_wanted) -> None:
    held_out = HeldOut({}, SOURCE_OF_PAIR, {"batch_id": "A", "role": "validation"})
    message = (
        r"^held-out events: \d+ of \d+ of the 'source' to hold out are among those that the edit 'pair' was fitted on; "
        r"expected samples that it has not seen\. Correct their column values, or train without them\.$"
    )
    with pytest.raises(ConfigError, match=message):
        draw_review(
            pair_model, list_dataset(str(cells_once)), held_out, SampleConfig(events_per_population=number_wanted)
        )


def test_held_out_samples_of_another_kind_of_design_are_told() -> None:
    with pytest.raises(ConfigError, match=r"^held_out_source and held_out_target are for pair designs; this model has"):
        HeldOut({}, OTHER, OTHER).design(CONTROLS)
    for wrong in (HeldOut(OTHER, {}, {}), HeldOut({}, OTHER, {})):
        with pytest.raises(ConfigError, match=r"^this model has a pair design: set both held_out_source"):
            wrong.design(DRUG)
