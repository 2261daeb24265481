from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from neuronedit.model.edit_model import EditModel
from neuronedit.review.page.report import Review
from neuronedit.review.page.review_model import review_model
from neuronedit.review.transfer.transfer import HELD_OUT, Comparison
from neuronedit.review.transfer.verdict import judge_comparisons
from tests.review.planted import TRUE_SHIFT, planted_events


def scores(
    edit: float, nothing: float, quantile: float, energy: float | None = None, error: float = 0.0
) -> pd.DataFrame:
    emds = {"neuronedit": edit, "no edit": nothing, "quantile map": quantile, "noise floor": 0.1}
    energies = emds | {"neuronedit": edit if energy is None else energy}
    return pd.DataFrame(
        [{"comparison": "x", "kind": HELD_OUT, "method": m, "emd": emds[m], "energy": energies[m]} for m in emds]
    ).assign(emd_less_error=error, energy_less_error=error, markers_worse=3)


@pytest.mark.parametrize(
    ("edit", "nothing", "quantile", "energy", "tone", "label"),
    [
        (0.2, 1.1, 0.5, None, "better", "beats the quantile map"),
        (0.5, 1.1, 0.52, None, "mixed", "matches the quantile map"),
        (0.5, 1.1, 0.2, None, "mixed", "loses to the quantile map"),
        (0.5, 1.1, 0.7, 0.9, "mixed", "undecided against the quantile map"),
        (1.1, 1.1, 0.5, None, "mixed", "no clear gain"),
        (1.3, 1.1, 0.5, None, "worse", "worse than doing nothing"),
        (0.1, 0.1, 0.1, None, "mixed", "no clear gain"),
    ],
)
def test_the_verdict_follows_the_scores(
    edit: float, nothing: float, quantile: float, energy: float | None, tone: str, label: str
) -> None:
    verdict = judge_comparisons(scores(edit, nothing, quantile, energy))[0]
    assert (verdict.tone, verdict.label) == (tone, label)


def test_the_sentence_says_what_it_found() -> None:
    assert judge_comparisons(scores(0.2, 1.1, 0.5))[0].sentence == (
        "neuronedit is better than doing nothing (EMD 1.100 → 0.200, energy distance 1.100 → 0.200) "
        "and better than the quantile map (0.500, 0.500)."
    )
    assert "is worse than doing nothing" in judge_comparisons(scores(1.3, 1.1, 0.5))[0].sentence
    assert "mixed against the quantile map (better by EMD, worse by energy distance)" in (
        judge_comparisons(scores(0.5, 1.1, 0.7, 0.9))[0].sentence
    )


def test_better_needs_both_distances_else_it_is_mixed_and_tells_the_markers_made_worse() -> None:
    verdict = judge_comparisons(scores(1.1, 1.1, 1.1, energy=0.8))[0]
    assert verdict.against_nothing == "mixed against"
    assert verdict.sentence.startswith(
        "neuronedit is mixed against doing nothing (no different by EMD, better by energy distance, 3 markers made "
        "worse) ("
    )
    assert judge_comparisons(scores(1.1, 1.1, 1.1, energy=1.4))[0].against_nothing == "worse than"


def test_within_the_interval_two_methods_are_no_different() -> None:
    sure, unsure = (judge_comparisons(scores(0.8, 1.1, 0.5, error=error))[0] for error in (0.14, 0.16))
    assert (sure.against_nothing, sure.against_map) == ("better than", "worse than")
    assert (unsure.against_nothing, unsure.against_map) == ("no different from", "no different from")


def test_a_planted_good_edit_is_said_to_be_better(review_of: Callable[..., Review]) -> None:
    review = review_of(TRUE_SHIFT)
    assert all(verdict.against_nothing == "better than" for verdict in review.verdicts)


def test_a_planted_bad_edit_is_said_to_be_worse(review_of: Callable[..., Review]) -> None:
    review = review_of(-TRUE_SHIFT)
    assert all(verdict.tone == "worse" for verdict in review.verdicts)


def test_a_planted_edit_that_knows_more_than_the_pair_beats_the_quantile_map(
    planted_model: Callable[[np.ndarray], EditModel],
) -> None:
    same = planted_events(800, 2), planted_events(800, 3)  # the pair shows no effect
    unseen = planted_events(800, 4), planted_events(800, 5, TRUE_SHIFT)
    comparisons = [Comparison("x", HELD_OUT, "pair", *same, *unseen)]
    review = review_model(planted_model(TRUE_SHIFT), comparisons, {"source": same[0]}, None, {})
    assert review.verdicts[0].label == "beats the quantile map"
