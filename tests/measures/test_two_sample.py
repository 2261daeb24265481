import numpy as np
import pytest

from neuronedit.measures.evaluation import classifier_auc


def normal(n_events: int, seed: int, n_markers: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_events, n_markers)).astype(np.float32)


def test_disjoint_laws_score_one() -> None:
    # Few enough events for a bin each (255 bins): of more, the bin at the border would mix two of both laws.
    assert classifier_auc(normal(100, 1), normal(100, 2) + 100) == 1
    assert classifier_auc(normal(1000, 1), normal(1000, 2) + 100) > 0.99


def test_equal_laws_score_one_half() -> None:
    scores = [classifier_auc(normal(500, seed), normal(500, 100 + seed)) for seed in range(4)]
    # One score of 500 events each has a standard deviation of 1/sqrt(6 * 500) = 0.018, a mean of four 0.009; 4 of it.
    assert np.mean(scores) == pytest.approx(0.5, abs=0.036)


def test_a_shift_scores_near_what_the_best_classifier_could() -> None:
    shifted = normal(2000, 2, n_markers=1) + 1
    # Two normal laws one standard deviation apart: AUC = Phi(1 / sqrt(2)) = 0.760. A curve of trees loses a little.
    assert classifier_auc(normal(2000, 1, n_markers=1), shifted) == pytest.approx(0.760, abs=0.03)


def test_a_joint_change_that_no_marker_shows_alone_is_seen() -> None:
    first = normal(1000, 1, n_markers=1)
    assert classifier_auc(np.column_stack([first, first]), normal(1000, 2, n_markers=2)) > 0.9


def test_unequal_counts_tell_nothing_and_the_seed_repeats_the_draw() -> None:
    a, b = normal(1500, 1), normal(300, 2)
    assert classifier_auc(a, b, seed=3) == classifier_auc(a, b, seed=3)
    assert classifier_auc(a, b, seed=3) != classifier_auc(a, b, seed=4)
    # 300 of each: a standard deviation of 0.024; 4 of it. With 1,500 against 300 accuracy would look like 0.83.
    assert classifier_auc(a, b, seed=3) == pytest.approx(0.5, abs=0.1)
