import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import SHIFT, PlantedCells, planted_cells, planted_model
from numpy.testing import assert_array_equal

from neuronedit.adapters.sampling.review_events import HeldOut, ReviewEvents
from neuronedit.cells.design import ControlsDesign, EditPair, PairDesign
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.errors import ConfigError

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


def test_a_pairs_labels_are_those_of_its_source_and_target(events: ReviewEvents) -> None:
    (source, target) = events.pair_labels("type")["pair"]
    assert_array_equal(source, SOURCE.labelled.labels["type"])
    assert_array_equal(target, TARGET.labelled.labels["type"])
    assert events.pair_labels(None) == {}


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


def test_held_out_samples_of_another_kind_of_design_are_told() -> None:
    with pytest.raises(ConfigError, match=r"^held_out_source and held_out_target are for pair designs; this model has"):
        HeldOut({}, OTHER, OTHER).design(CONTROLS)
    for wrong in (HeldOut(OTHER, {}, {}), HeldOut({}, OTHER, {})):
        with pytest.raises(ConfigError, match=r"^this model has a pair design: set both held_out_source"):
            wrong.design(DRUG)
