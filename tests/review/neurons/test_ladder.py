"""The likeliest cells for a neuron's activations, and the likeliest treated one."""

import numpy as np
import pytest
import torch
from neuronedit_jobs.benchmarks.review.planted import DEAD, EDITED_MARKERS, EDITED_PROGRAM, MARKERS, N_LINEAGE
from neuronedit_jobs.benchmarks.review.review_problems import Problems
from scipy.spatial.distance import cdist

from neuronedit.review.neurons.ladder import PERCENTILES, Ladder, realism
from neuronedit.review.neurons.logit import TreatedHead
from neuronedit.review.neurons.preferred import preferred_cell
from neuronedit.review.neurons.prior import CodePrior
from neuronedit.review.subject import EditSubject


@pytest.fixture(scope="module")
def which(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def edit(which: str, problems: Problems) -> EditSubject:
    return problems.contexts[which].subject


@pytest.fixture(scope="module")
def prior(which: str, problems: Problems) -> CodePrior:
    return problems.contexts[which].prior


@pytest.fixture(scope="module")
def ladder(which: str, problems: Problems) -> Ladder:
    return problems.ladders[which]


def real(subject: EditSubject) -> np.ndarray:
    return np.concatenate([subject.source.activations, subject.target.activations])


both = pytest.mark.parametrize("which", ["planted", "trained"], indirect=True)
planted = pytest.mark.parametrize("which", ["planted"], indirect=True)
trained = pytest.mark.parametrize("which", ["trained"], indirect=True)


@both
def test_levels_are_percentiles_of_source_and_target(ladder: Ladder, edit: EditSubject) -> None:
    np.testing.assert_allclose(ladder.levels, np.percentile(real(edit), PERCENTILES, axis=0).T, atol=1e-5)


@both
def test_cells_are_as_near_to_real_ones_as_these_are_to_one_another(ladder: Ladder) -> None:
    live = ladder.realism[ladder.live]
    assert (np.median(live, axis=0) <= 1.1).all()


@both
def test_bounds_of_each_neuron_by_itself_give_cells_like_none(ladder: Ladder, edit: EditSubject) -> None:
    cells = within_bounds(edit, ladder.levels[ladder.live][:10], np.flatnonzero(ladder.live)[:10])
    markers = np.concatenate([edit.source.markers, edit.target.markers])
    found = np.median(realism(cells, markers, seed=0))
    assert found > 1.5
    assert found > 1.5 * np.median(ladder.realism[ladder.live])


def within_bounds(subject: EditSubject, levels: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Activation maximisation as in Nguyen et al. 2016: from anywhere, each neuron of the code held in its range."""
    low, high = (torch.from_numpy(bound) for bound in (real(subject).min(axis=0), real(subject).max(axis=0)))
    aims = torch.from_numpy(levels.ravel())
    chosen = torch.from_numpy(np.repeat(own, levels.shape[1]))[:, None]
    generator = torch.Generator().manual_seed(0)
    codes = low + (high - low) * torch.rand((len(aims), len(low)), generator=generator)
    for _ in range(50):
        codes = codes.detach().requires_grad_()
        decoded = subject.autoencoder.decode(codes, subject.layer)
        found = subject.autoencoder.encode(decoded, subject.layer).gather(1, chosen)[:, 0]
        (gradient,) = torch.autograd.grad(found.sum(), codes)
        step = (aims - found.detach()) / gradient.square().sum(dim=1).clamp_min(1e-6)
        codes = torch.minimum(torch.maximum(codes.detach() + step[:, None] * gradient, low), high)
    return subject.decode(codes.detach().numpy())


@planted
def test_along_a_planted_neurons_ladder_its_own_markers_rise(ladder: Ladder) -> None:
    rise = ladder.cells[:, -1] - ladder.cells[:, 0]
    own = [MARKERS.index(marker) for marker in EDITED_MARKERS]
    assert set(np.argsort(-rise[EDITED_PROGRAM])[:4]) == set(own)
    assert rise[EDITED_PROGRAM, own].min() > 3
    assert (np.diff(ladder.cells[EDITED_PROGRAM][:, own], axis=0) > 0).all()


@planted
def test_a_dead_neuron_stays_where_it_is(ladder: Ladder) -> None:
    assert not ladder.live[list(DEAD)].any()
    assert not ladder.reached[list(DEAD)].any()
    assert np.isfinite(ladder.cells).all()


@planted
def test_of_one_gaussian_and_a_linear_network_the_likeliest_point_is_known(edit: EditSubject, prior: CodePrior) -> None:
    one = prior.only(0)
    weights = np.linspace(-1, 1, edit.n_neurons, dtype=np.float32)
    found = one.likeliest(
        lambda codes: codes @ torch.from_numpy(weights), np.array([3], np.float32), np.ones(1, np.float32)
    )
    mean, factor = one.means[0].astype(np.float64), one.factors[0].astype(np.float64)
    direction = factor.T @ weights
    expected = mean + factor @ direction * (3 - weights @ mean) / (direction @ direction)
    np.testing.assert_allclose(found.neurons[0], expected, atol=1e-4)
    assert found.met.all()


@planted
def test_a_condition_that_no_cell_meets_is_told(prior: CodePrior) -> None:
    found = prior.likeliest(
        lambda codes: codes[..., 0].clamp(-1, 1), np.array([0.5, 5], np.float32), np.ones(2, np.float32)
    )
    assert found.met.tolist() == [True, False]
    assert np.isfinite(found.neurons).all()


def test_realism_agrees_with_all_distances(rng: np.random.Generator) -> None:
    events, cells = (rng.normal(size=(n, 6)).astype(np.float32) for n in (300, 20))
    own = np.sort(cdist(events, events), axis=1)[:, 1]
    expected = cdist(cells, events).min(axis=1) / np.median(own)
    np.testing.assert_allclose(realism(cells, events, seed=0), expected, rtol=1e-4)


@both
def test_the_edited_markers_lead_in_the_preferred_treated_cell(edit: EditSubject, prior: CodePrior) -> None:
    found = preferred_cell(edit, prior, TreatedHead.fit(edit))
    table = found.table()
    assert set(table["marker"][:4]) == set(EDITED_MARKERS)
    assert (table["change"][:4] > 1).all()
    assert table["change"][4:].abs().max() < table["change"][:4].min() / 2
    assert found.met
    assert found.logits[1] > found.logits[0]


@planted
def test_the_preferred_cell_and_its_control_are_of_one_kind(edit: EditSubject, prior: CodePrior) -> None:
    found = preferred_cell(edit, prior, TreatedHead.fit(edit))
    assert (np.sign(found.treated[:N_LINEAGE]) == np.sign(found.control[:N_LINEAGE])).mean() >= 0.9
