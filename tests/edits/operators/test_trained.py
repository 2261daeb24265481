import numpy as np
import pytest
import torch

from neuronedit.cells.design import PAIR_EDIT
from neuronedit.edits.edit import fit_edit
from neuronedit.edits.operators.table import EditStep, Fitting
from neuronedit.edits.operators.trained import train_shifts
from neuronedit.edits.plans import DEFAULT, STRATA
from neuronedit.edits.steps import apply_steps, fit_steps
from neuronedit.errors import ModelError
from neuronedit.measures.pairs import energy_distance
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.minibatches import InMemory
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.training import train

pytestmark = pytest.mark.usefixtures("whole_descent")

BOTH = (EditStep(layer=("encoder", "decoder"), operator="trained"),)


def kinds(seed: int, moved: float = 0.0, n_events: int = 1_500) -> np.ndarray:
    """Two kinds of cell, of which one responds: a marker rises where another is high."""
    rng = np.random.default_rng(seed)
    of = rng.integers(0, 2, n_events)
    cells = rng.normal(size=(n_events, 4)) * 0.4 + np.array([[0, 0, 0, 0], [3, 0, 2, 0]])[of]
    cells[:, 3] += moved * of
    return (cells - 1).astype(np.float32)


@pytest.fixture(scope="module")
def network() -> Autoencoder:
    plan = TrainingPlan(epochs=20, minibatch=128)
    network = Autoencoder(4, Architecture(hidden=(24, 12), code=6), seed=1)
    train(network, InMemory.from_populations({"source": kinds(0), "target": kinds(1, 2.0)}, plan), plan)
    return network.eval().requires_grad_(False)


def test_the_edited_source_meets_the_target_jointly_where_percentiles_of_neurons_do_not(network):
    source, target, others, truth = kinds(0), kinds(1, 2.0), kinds(2), kinds(3, 2.0)
    distances = {}
    for name, plan in {"trained": BOTH, "read off": (EditStep(layer=("encoder", "decoder")),), "nothing": ()}.items():
        steps = fit_steps(network, plan, source, target)
        distances[name] = energy_distance(apply_steps(steps, network, others), truth)
    assert distances["trained"] < 0.6 * distances["read off"] < distances["nothing"]
    assert distances["trained"] < 0.1 * distances["nothing"]


def test_only_the_kind_that_responds_is_moved(network):
    edit = fit_edit(PAIR_EDIT, (network,), DEFAULT, kinds(0), kinds(1, 2.0), zeros=np.full(4, -99, np.float32))
    events = kinds(2)
    change = edit.apply((network,), events) - events
    responds = events[:, 0] > 0.5
    assert change[responds, 3].mean() == pytest.approx(2, abs=0.2)
    assert abs(change[~responds, 3].mean()) < 0.2


def test_the_same_seed_gives_the_same_bits_and_another_gives_others(network):
    def shifts(seed: int) -> bytes:
        (step,) = fit_steps(network, BOTH, kinds(0), kinds(1, 2.0), Fitting(seed=seed))
        return b"".join(shift.shifts.tobytes() for shift in step.shifts.values())

    assert shifts(0) == shifts(0) != shifts(1)


def test_threads_of_the_caller_change_no_bit(network):
    before, found = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        (shift,) = train_shifts([(network, "code")], kinds(0), kinds(1, 2.0), seed=0)
        found.append(shift.shifts.tobytes())
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert found[0] == found[1]


def test_weights_of_the_target_count(network):
    """Half of the target's events are as the source's: with their weight 0 the others alone are met."""
    target, weights = np.concatenate([kinds(1), kinds(4, 2.0)]), np.repeat([0.0, 1.0], 1_500)
    moved = {}
    for name, given in {"all": None, "others": weights}.items():
        steps = fit_steps(network, BOTH, kinds(0), target, Fitting(target_weights=given))
        moved[name] = (apply_steps(steps, network, kinds(2)) - kinds(2))[:, 3].mean()
    assert moved["others"] == pytest.approx(1, abs=0.2)
    assert moved["all"] < 0.8 * moved["others"]


def test_markers_that_stay_as_they_are_do_not_hold_the_others_back(network):
    """The source lacks the second marker's signal, which the edit may not move: the fourth rises all the same."""
    source, target = kinds(0), kinds(1, 2.0)
    target[:, 1] += 5
    steps = fit_steps(network, BOTH, source, target, Fitting(unmoved=(1,)))
    rise = (apply_steps(steps, network, source) - source)[source[:, 0] > 0.5, 3].mean()
    assert rise == pytest.approx(2, abs=0.4)


def test_neurons_that_are_the_same_for_all_events_have_one_shift(network):
    source = np.tile(kinds(0)[:1], (200, 1))
    (shift,) = train_shifts([(network, "code")], source, source + 1, seed=0)
    assert np.isfinite(shift.shifts).all()
    assert (shift.shifts == shift.shifts[:1]).all()


def test_layers_named_by_their_place_are_those_of_the_network():
    for hidden, layers in {(8, 6): ["encoder.2", "decoder.2"], (8,): ["encoder.1", "decoder.1"], (): ["code"]}.items():
        shallow = Autoencoder(4, Architecture(hidden=hidden, code=3)).eval().requires_grad_(False)
        (step,) = fit_steps(shallow, BOTH, kinds(0, n_events=200), kinds(1, n_events=200))
        assert list(step.shifts) == layers


def test_a_loss_that_is_not_finite_is_told(network):
    with pytest.raises(
        ModelError, match=r"^The operator 'trained' diverged: its loss is not finite\. Look for extreme"
    ):
        train_shifts([(network, "code")], kinds(0) * np.float32(1e30), kinds(1), seed=0)


def test_markers_are_not_trained():
    with pytest.raises(
        ValueError, match="the operator 'trained' shifts neurons; expected a hidden layer, found visible"
    ):
        EditStep(layer="visible", operator="trained")
    with pytest.raises(ValueError, match="expected one layer, or a list of hidden layers, each once; found"):
        EditStep(layer=("visible", "code"))
    assert STRATA[0].layers == ("visible",)
