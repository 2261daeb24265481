"""Typical real cells for a neuron's activations, and the one that is surest of the target."""

import numpy as np
import pytest
import torch
from neuronedit_jobs.benchmarks.review.planted import DEAD, EDITED_MARKERS, EDITED_PROGRAM, MARKERS, N_LINEAGE
from neuronedit_jobs.benchmarks.review.review_problems import Problems
from scipy.spatial.distance import cdist

from neuronedit.review.neurons.ladder import PERCENTILES, Ladder
from neuronedit.review.neurons.logit import TargetHead
from neuronedit.review.neurons.preferred import preferred_cell
from neuronedit.review.neurons.reals import MAX_MISS, N_BAND, RealCells, realism
from neuronedit.review.subject import EditSubject


@pytest.fixture(scope="module")
def which(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def edit(which: str, problems: Problems) -> EditSubject:
    return problems.contexts[which].subject


@pytest.fixture(scope="module")
def cells(which: str, problems: Problems) -> RealCells:
    return problems.contexts[which].cells


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


@both
def test_every_cell_of_a_ladder_was_measured(ladder: Ladder, cells: RealCells) -> None:
    measured = {cell.tobytes() for cell in cells.markers}
    assert all(cell.tobytes() in measured for cell in ladder.cells.reshape(-1, len(MARKERS)))


@both
def test_a_ladders_cells_are_within_the_range_of_real_ones_marker_by_marker(ladder: Ladder, cells: RealCells) -> None:
    low, high = np.percentile(cells.markers, (0.5, 99.5), axis=0)
    found = ladder.cells[ladder.live]
    # 1 % of real cells are outside in each marker; a neuron's own markers are so at its 1st and 99th percentile.
    assert ((found < low) | (found > high)).mean() <= 0.01


def test_the_typical_cell_is_amid_the_largest_kind_and_not_between_kinds(rng: np.random.Generator) -> None:
    kinds = np.r_[rng.normal(-5, 1, (60, 4)), rng.normal(5, 1, (40, 4)), np.zeros((1, 4))].astype(np.float32)
    found = RealCells(kinds, np.zeros((101, 1), np.float32), 101).typical(
        np.zeros(101, np.float32), 0.0, np.arange(101)
    )
    assert np.linalg.norm(kinds[found] + 5) < 3


def test_a_level_that_few_cells_have_is_met_as_nearly_as_any_cell_does(rng: np.random.Generator) -> None:
    values = np.r_[np.linspace(0, 1, 2 * N_BAND), 5.0].astype(np.float32)
    cells = RealCells(rng.normal(size=(len(values), 3)).astype(np.float32), values[:, None], len(values))
    everyone = np.arange(len(values))
    assert cells.typical(values, 4.9, everyone) == len(values) - 1
    assert abs(values[cells.typical(values, 0.5, everyone)] - 0.5) <= MAX_MISS * values.std()
    assert cells.typical(values, 5.0, everyone[:N_BAND]) == N_BAND - 1


def test_realism_agrees_with_all_distances(rng: np.random.Generator) -> None:
    events, cells = (rng.normal(size=(n, 6)).astype(np.float32) for n in (300, 20))
    own = np.sort(cdist(events, events), axis=1)[:, 1]
    expected = cdist(cells, events).min(axis=1) / np.median(own)
    np.testing.assert_allclose(realism(cells, events, seed=0), expected, rtol=1e-4)


@both
def test_the_edited_markers_lead_in_the_preferred_cell(edit: EditSubject, cells: RealCells) -> None:
    found = preferred_cell(edit, cells, TargetHead.fit(edit))
    table = found.table()
    assert set(table["marker"][:4]) == set(EDITED_MARKERS)
    assert (table["change"][:4] > 1).all()
    assert table["change"][4:].abs().max() < table["change"][:4].min() / 2
    assert found.logits[1] > found.logits[0]


@planted
def test_the_preferred_cell_and_the_sources_are_of_one_kind(edit: EditSubject, cells: RealCells) -> None:
    found = preferred_cell(edit, cells, TargetHead.fit(edit))
    assert (np.sign(found.target[:N_LINEAGE]) == np.sign(found.source[:N_LINEAGE])).mean() >= 0.9
