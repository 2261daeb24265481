"""Markers without a signal: each kind is found in controls and, where it is no treatment's work, in a treated pair."""

from itertools import combinations

import numpy as np
import pytest
import torch
from neuronedit_jobs.benchmarks.accuracy.tasks import DATA, TASKS, draw, load_cells

from neuronedit.cells.panel import Panel
from neuronedit.cells.transforms import Arcsinh, Linear, Logicle
from neuronedit.edits.edit import fit_edit
from neuronedit.edits.learnable import MAX_GAIN, MAX_STRETCH, find_unlearnable
from neuronedit.edits.plans import DEFAULT, PRESETS
from neuronedit.network.autoencoder import Architecture, Autoencoder

N = 400

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the datasets of real cells are not at {DATA}")


def noise(seed: int, mean: float = 40, spread: float = 120) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, spread, N)


def positives(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(8.5, 0.4, N)


def stained(seed: int, share: float = 0.4) -> np.ndarray:
    """Positive cells among negative ones, as fluorescence has them."""
    return np.where(np.random.default_rng(seed + 99).random(N) < share, positives(seed), noise(seed))


def dim(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(5.5, 1.0, N) - 150


def few_positives(seed: int) -> np.ndarray:
    events = np.zeros(N)
    events[: N // 100] = positives(seed)[: N // 100]
    return events


FLUORESCENCE = Arcsinh(150.0)


def judged(source: np.ndarray, target: np.ndarray, transform=FLUORESCENCE, *, same_cells: bool = True) -> str:
    panel = Panel(("CD8",), (transform,))
    names = ("control 2", "control 1")
    return find_unlearnable(source[:, None], target[:, None], panel, names, same_cells=same_cells).get(0, "")


CONSTANT = {
    "zeros": np.zeros(N),
    "one value": np.full(N, 7.0),
    "a few positive events": few_positives(1),
    "noise of a five hundredth": noise(1, 0, 3),
}
NO_SIGNAL_OF_THE_OTHER = {
    "noise": noise(2),
    "noise and a few positive events": np.concatenate([noise(2)[4:], positives(2)[:4]]),
}


@pytest.mark.parametrize("dead", CONSTANT.values(), ids=CONSTANT)
@pytest.mark.parametrize("live", [stained(3), dim(3)], ids=["bright", "dim"])
@pytest.mark.parametrize("same_cells", [True, False], ids=["controls", "pair"])
def test_a_marker_that_is_as_good_as_constant_in_one_population_cannot_be_learned(dead, live, same_cells):
    assert judged(live, dead, same_cells=same_cells).startswith("'control 1' has no signal: ")
    assert judged(dead, live, same_cells=same_cells).startswith("'control 2' has no signal: ")


@pytest.mark.parametrize(
    ("name", "share"), [("noise", 0.06), *((name, share) for name in NO_SIGNAL_OF_THE_OTHER for share in (0.4, 1.0))]
)
def test_a_control_without_the_positive_cells_of_the_other_cannot_teach_the_marker(name, share):
    lacking = NO_SIGNAL_OF_THE_OTHER[name]
    assert judged(stained(3, share), lacking).startswith("'control 1' lacks the signal of 'control 2': ")
    assert judged(lacking, stained(3, share)).startswith("'control 2' lacks the signal of 'control 1': ")


def test_the_reasons_give_the_numbers():
    assert judged(np.zeros(N), np.zeros(N)) == (
        "'control 2' has no signal: 100.0% of its events are at 0 and "
        "'control 1' has no signal: 100.0% of its events are at 0"
    )
    assert judged(few_positives(1), stained(3)) == "'control 2' has no signal: 99.0% of its events are at 0"
    assert judged(noise(1, 0, 3), stained(3)) == (
        "'control 2' has no signal: its spread is 0.017 arcsinh units, that of 'control 1' 2, more than 30 times as "
        "much"
    )
    assert judged(noise(2), stained(3)) == (
        "'control 2' lacks the signal of 'control 1': 30% of the events of 'control 1' are above 3,703, of its own "
        "0.0% above 740.6 (a gain of 5; expected at least 6.0%)"
    )


@pytest.mark.parametrize("transform", [Arcsinh(150.0), Logicle(), Linear()], ids=lambda each: each.name)
def test_every_transform_is_judged(transform):
    live, dead, zeros = stained(3), noise(2), np.zeros(N)
    if isinstance(transform, Linear):
        live, dead, zeros = (np.arcsinh(events / 150) for events in (live, dead, zeros))
    assert judged(dead, live, transform)
    assert judged(live, zeros, transform)
    assert not judged(live, live + 0.1 * live.std(), transform)


@pytest.mark.parametrize("gain", [0.25, 0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("events", [stained, dim, positives], ids=["some positive", "dim", "all positive"])
def test_a_gain_between_two_controls_can_be_learned(events, gain):
    assert judged(events(3), gain * events(4)) == ""


@pytest.mark.parametrize("direction", [1, -1])
def test_a_gain_far_beyond_the_limit_is_none(direction):
    assert judged(stained(3), stained(4) * (2 * MAX_GAIN) ** direction)
    assert judged(stained(3), stained(4) * (2 * MAX_GAIN) ** direction, same_cells=False) == ""


def test_another_mix_of_cells_can_be_learned():
    assert judged(stained(3, 0.15), stained(4, 0.45)) == ""
    assert judged(noise(3), noise(4)) == "", "nothing is positive in either, and nothing is led anywhere"


EFFECTS = {
    "from noise to a signal": (noise(3, 20, 60), positives(4)),
    "from noise to a signal of some cells": (noise(3, 20, 60), stained(4)),
    "from a signal to noise": (positives(3), noise(4)),
    "from next to nothing to a signal, mass": (np.random.default_rng(3).uniform(-1, 0, N), positives(4) / 100),
}


@pytest.mark.parametrize(("source", "target"), EFFECTS.values(), ids=EFFECTS)
def test_a_treatment_may_lead_from_no_signal_to_signal_and_back(source, target):
    transform = Arcsinh(5.0 if source.max() <= 0 else 150.0)
    assert judged(source, target, transform, same_cells=False) == ""
    assert judged(source, target, transform, same_cells=True)


def test_the_stretch_of_a_treatment_is_bounded():
    source = noise(3, 0, 1)
    for stretch, learned in ((MAX_STRETCH / 1.5, True), (MAX_STRETCH * 1.5, False)):
        assert (judged(source, stretch * noise(4, 0, 1), Linear(), same_cells=False) == "") is learned


def test_few_events_do_not_make_a_marker_unlearnable():
    rare = stained(3, 0.01)
    assert judged(rare, noise(2)) == "", "4 positive events of 400 could be none of another 400"
    assert judged(stained(3)[:50], stained(4)[:50]) == ""


@needs_data
def test_every_marker_of_real_tasks_can_be_learned():
    cells = {name: load_cells(DATA, name) for name in {task.dataset for task in TASKS}}
    for task in TASKS:
        populations, _ = draw(cells[task.dataset], task, 4_000, seed=0)
        markers = cells[task.dataset].markers
        panel = Panel(markers, (task.cofactor,) * len(markers))
        pair = (populations.source, populations.target)
        assert find_unlearnable(*pair, panel, same_cells=False) == {}, task.name


@needs_data
@pytest.mark.parametrize("n_events", [400, 4_000])
def test_every_marker_of_real_controls_can_be_learned_and_none_without_its_positive_cells_in_one(n_events):
    found, lost = 0, 0
    for dataset, samples in (("shaham_ms_cytof", 8), ("cytonorm_ptlg", 8)):
        cells = load_cells(DATA, dataset)
        panel = Panel(cells.markers, (5.0,) * len(cells.markers))
        names = cells.annotations["sample"].unique()
        assert len(names) == samples
        alike = [pair for pair in combinations(names, 2) if same_sample(*pair)]
        for first, second in alike:
            source, target = (shuffled(cells, name)[:n_events] for name in (first, second))
            assert find_unlearnable(source, target, panel, same_cells=True) == {}, (first, second)
            dead = source * 0
            dead[: len(dead) // 100] = source[: len(dead) // 100]
            found += len(find_unlearnable(dead, target, panel, same_cells=True))
            lost += panel.n_markers
    assert found == lost


def same_sample(first: str, second: str) -> bool:
    """Tell whether two samples are the same blood, measured on two days or in two batches."""
    parts = [set(name.replace("day1", "").replace("day2", "").split("_")) for name in (first, second)]
    of_blood = [{part for part in each if part and not part.startswith("PTLG")} for each in parts]
    return of_blood[0] == of_blood[1]


def shuffled(cells, name: str) -> np.ndarray:
    events = cells.intensities[(cells.annotations["sample"] == name).to_numpy()]
    return np.random.default_rng(0).permutation(events)


# The edit.


@pytest.fixture(scope="module")
def network() -> Autoencoder:
    return Autoencoder(4, Architecture(hidden=(16,), code=8), seed=0).eval().requires_grad_(False)


def kinds(seed: int, n_events: int = 600) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.array([[0, 0, 0, 0], [4, 0, 2, 0], [0, 4, 0, 2]])
    return (centres[rng.integers(0, 3, n_events)] + rng.normal(size=(n_events, 4))).astype(np.float32)


@pytest.mark.parametrize("plan", PRESETS)
def test_an_unlearnable_marker_keeps_its_bits_and_tells_the_others_nothing(network, plan):
    source, target = kinds(0), kinds(1) + 1
    source[:, 2] = 5
    settings = {"zeros": np.full(4, -99, np.float32), "shrinks": True, "unlearnable": {2: "constant"}}
    edit = fit_edit("x", (network,), PRESETS[plan], source, target, **settings)
    events, other = kinds(2), kinds(2)
    other[:, 2] = -7
    kept = [0, 1, 3]
    for strength in (1.0, 0.5):
        edited, beside = (edit.apply((network,), each, strength) for each in (events, other))
        assert edited[:, 2].tobytes() == events[:, 2].tobytes()
        assert beside[:, 2].tobytes() == other[:, 2].tobytes()
        assert edited[:, kept].tobytes() == beside[:, kept].tobytes()
        assert not np.array_equal(edited[:, kept], events[:, kept])
    scores = edit.support.scores(torch.from_numpy(events))
    assert torch.equal(scores, edit.support.scores(torch.from_numpy(other)))
    assert edit.support.judge(events) == edit.support.judge(other)


def test_where_no_marker_can_be_learned_the_edit_does_nothing(network):
    reasons = dict.fromkeys(range(4), "constant")
    edit = fit_edit(
        "x", (network,), DEFAULT, kinds(0), kinds(1) + 1, zeros=np.full(4, -99, np.float32), unlearnable=reasons
    )
    events = kinds(2)
    assert edit.apply((network,), events) is events
    assert edit.summary == "no edit: no marker can be learned"
    assert edit.expected_error() == 1
