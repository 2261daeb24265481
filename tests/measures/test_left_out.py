import numpy as np
import pytest
from scipy.stats import t

from neuronedit.measures.distances import Distance
from neuronedit.measures.left_out import LeftOut, LeftOutUnit, errors_left, interval_of_next


def left_out(*errors: float, quantile_map: float = 0.5, **more: object) -> LeftOut:
    units = tuple(
        LeftOutUnit(
            name=f"P{number}",
            n_events=100,
            n_truth=100,
            edit={"emd": error, "energy": error / 2},
            quantile_map={"emd": quantile_map, "energy": quantile_map},
        )
        for number, error in enumerate(errors, start=1)
    )
    return LeftOut(column="donor", units=units, **more)


def distances(*emds: float) -> list[Distance]:
    return [Distance(np.array([emd]), {"energy": emd}) for emd in emds]


@pytest.mark.parametrize(
    ("edited", "no_edit", "floor", "error"),
    [
        (0.1, 1.1, 0.1, 0.0),
        (1.1, 1.1, 0.1, 1.0),
        (1.6, 1.1, 0.1, 1.5),
        (0.1, 0.11, 0.1, 0.9),  # hardly anything to correct: the noise is the unit
        (0.2, 0.1, 0.1, 2.0),  # nothing to correct, and an edit that spoils as much as the noise is
        (0.0, 0.0, 0.0, 1.0),
    ],
)
def test_doing_nothing_leaves_1_and_a_gap_below_the_noise_makes_no_error_of_any_size(edited, no_edit, floor, error):
    found = errors_left(*distances(edited, no_edit, floor))
    assert found == {"emd": pytest.approx(error), "energy": pytest.approx(error)}


def test_the_next_normal_draw_lies_within_the_interval_as_often_as_said():
    drawn = np.random.default_rng(0).normal(0.5, 0.2, (2_000, 5))
    found = [interval_of_next(row[:4]) for row in drawn]
    inside = [each.low <= row[4] <= each.high for each, row in zip(found, drawn, strict=True)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)  # 3 standard errors


@pytest.mark.parametrize("n_samples", [2, 3, 8])
def test_the_interval_is_students_of_one_further_draw(n_samples):
    errors = np.linspace(0.1, 0.9, n_samples)
    found = interval_of_next(errors)
    half = t.ppf(0.975, n_samples - 1) * errors.std(ddof=1) * np.sqrt(1 + 1 / n_samples)
    assert (found.mean, found.spread) == (pytest.approx(0.5), pytest.approx(errors.std(ddof=1)))
    assert (found.low, found.high) == (pytest.approx(0.5 - half), pytest.approx(0.5 + half))


def test_several_alike_prove_and_one_two_that_differ_or_a_wide_spread_do_not():
    assert left_out(0.2, 0.25, 0.3).proven
    assert not left_out(0.2).proven
    assert not left_out(0.2, 0.4).proven
    assert not left_out(0.2, 0.5, 0.8).proven


def test_one_is_not_several_and_has_no_numbers():
    assert not left_out(0.2).known
    assert left_out(0.2).scalars == {}


def test_the_sentence_tells_the_numbers_beside_doing_nothing_and_the_quantile_map():
    assert left_out(0.2, 0.25, 0.3).sentence == (
        "fitted without each of 3 (donor: 'P1', 'P2', 'P3') in turn, the edit leaves 0.25 of the EMD and 0.12 of the "
        "energy distance (0 is noise, 1 is doing nothing; the per-marker quantile map 0.50 and 0.50); for a new one up "
        "to 0.50 and 0.25 must be expected (95%)"
    )


def test_the_sentence_says_that_two_bound_nothing_and_who_could_not_be_scored():
    told = left_out(0.2, 0.4, unscored={"P3": "no overlap"}).sentence
    assert "(95%); two bound next to nothing, so doing nothing may be better; 'P3' could not be scored" in told


def test_numbers_for_comparing_have_the_mean_the_spread_and_the_upper_end():
    found = left_out(0.2, 0.25, 0.3).scalars
    assert found["n"] == 3
    assert (found["emd"], found["emd_quantile_map"]) == (pytest.approx(0.25), 0.5)
    assert found["emd_high"] == pytest.approx(left_out(0.2, 0.25, 0.3).interval("emd").high)
