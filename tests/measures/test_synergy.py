import numpy as np
import pytest
from scipy import stats

from neuronedit.measures.synergy import Estimate, SynergyRule, Term, call, estimate, excess_table, resampled_means

RULE = SynergyRule()


def normal(n_events: int, seed: int, mean: float = 0.0, n_markers: int = 3) -> np.ndarray:
    return mean + np.random.default_rng(seed).standard_normal((n_events, n_markers))


def test_resampled_means_are_means_of_drawn_rows() -> None:
    units = np.array([[0.0], [1.0], [10.0]])
    drawn = resampled_means(units, 2, 4_000, np.random.default_rng(0))
    assert set(np.round(drawn.ravel(), 6)) == {0.0, 0.5, 1.0, 5.0, 5.5, 10.0}
    # Each of the nine ordered pairs is as likely: 0.5 has two of them; sd of a share of 4,000 draws is 0.0066.
    assert (drawn == 0.5).mean() == pytest.approx(2 / 9, abs=0.03)


def test_the_weights_are_those_of_whole_and_of_chunked_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    units = normal(50, 0)
    whole = resampled_means(units, 50, 20, np.random.default_rng(3))
    monkeypatch.setattr("neuronedit.measures.synergy.CHUNK_WEIGHTS", 150)
    np.testing.assert_allclose(resampled_means(units, 50, 20, np.random.default_rng(3)), whole, rtol=1e-12)


def test_a_bootstrap_of_events_finds_the_standard_error_of_a_sum_of_means() -> None:
    parts = [Term(normal(400, 0)), Term(-normal(100, 1, mean=1))]
    found = estimate(parts, SynergyRule(n_draws=4_000), seed=0)
    means = [part.values.mean(axis=0) for part in parts]
    error = np.sqrt(sum(part.values.var(axis=0) / len(part.values) for part in parts))
    np.testing.assert_allclose(found.value, means[0] + means[1])
    # An interval's end from 4,000 draws scatters by about 2 % of its width.
    np.testing.assert_allclose((found.high - found.low) / (2 * 1.96 * error), 1, atol=0.08)
    np.testing.assert_allclose(found.p, 2 * stats.norm.sf(np.abs(found.value) / error), atol=0.02)


def test_a_bootstrap_of_samples_gives_the_interval_of_a_t_test() -> None:
    """k − 1 of k: the variance is the unbiased one of sample means, which a t-test of equally many takes."""
    samples = np.repeat(np.arange(4), 100)
    first, second = normal(400, 0) + 0.5 * normal(4, 2)[samples], normal(400, 1) + 0.5 * normal(4, 3)[samples]
    found = estimate([Term(first, samples), Term(-second, samples)], SynergyRule(n_draws=20_000), seed=0)
    test = stats.ttest_ind(
        *([events[samples == sample].mean(axis=0) for sample in range(4)] for events in (first, second)),
    )
    interval = test.confidence_interval(0.95)
    np.testing.assert_allclose(found.low, interval.low, rtol=0.05, atol=0.02)
    np.testing.assert_allclose(found.high, interval.high, rtol=0.05, atol=0.02)
    np.testing.assert_allclose(found.p, test.pvalue, atol=0.02)


def test_samples_weigh_the_same_whatever_their_size() -> None:
    values, samples = np.array([[0.0]] * 90 + [[1.0]] * 10), np.repeat([0, 1], [90, 10])
    assert Term(values, samples).mean() == pytest.approx(0.5)
    assert Term(values).mean() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("n_samples", "scatter", "coverage"), [(0, 0.0, 0.95), (2, 0.3, 0.95), (4, 0.3, 0.95)], ids=str
)
def test_intervals_hold_the_truth_as_often_as_they_say(n_samples: int, scatter: float, coverage: float) -> None:
    held = []
    samples = np.arange(200) % n_samples if n_samples else None
    for repeat in range(60):
        generator = np.random.default_rng(repeat)
        parts = []
        for sign in (1, -1, -1, 1):
            wells = scatter * generator.standard_normal((max(n_samples, 1), 10))
            values = generator.standard_normal((200, 10)) + wells[0 if samples is None else samples]
            parts.append(Term(sign * values, samples))
        found = estimate(parts, SynergyRule(n_draws=400), repeat)
        held.append((found.low <= 0) & (found.high >= 0))
    # 600 intervals: the sd of their share is 0.009.
    assert np.mean(held) == pytest.approx(coverage, abs=0.035)


def test_resampling_events_is_overconfident_where_samples_scatter() -> None:
    samples = np.arange(2_000) % 2
    values = 0.1 * normal(2_000, 0) + normal(2, 1)[samples]
    of_events, of_samples = (estimate([Term(values, by)], RULE, 0) for by in (None, samples))
    assert ((of_samples.high - of_samples.low) > 10 * (of_events.high - of_events.low)).all()


def test_the_same_seed_gives_the_same_interval() -> None:
    parts = [Term(normal(100, 0))]
    first, again, other = (estimate(parts, RULE, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.low, again.low)
    assert (first.low != other.low).all()


def test_a_constant_marker_is_certain() -> None:
    constant = np.zeros((60, 2)) + np.array([0.0, 1.0])
    found = estimate([Term(constant)], RULE, 0)
    np.testing.assert_array_equal(found.p, [1, 0])
    np.testing.assert_array_equal(found.low, [0, 1])
    by_sample = estimate([Term(constant, np.arange(60) % 3)], RULE, 0)
    np.testing.assert_array_equal(by_sample.p, [1, 0])


def found(value: float, reach: float) -> Estimate:
    of = np.array([value])
    return Estimate(of, of - reach, of + reach, of)


@pytest.mark.parametrize(
    ("value", "reach", "q", "additive", "expected"),
    [
        (0.5, 0.1, 0.001, 1.0, "synergistic"),
        (-0.5, 0.1, 0.001, 1.0, "antagonistic"),
        (-0.5, 0.1, 0.001, -1.0, "synergistic"),  # both lower the marker, together by more
        (0.5, 0.1, 0.001, -1.0, "antagonistic"),
        (-0.5, 0.1, 0.001, 0.05, "synergistic"),  # neither moves it, together they do
        (1.2, 0.1, 0.001, -0.2, "synergistic"),  # the sum lowers it a little, both together raise it by far more
        (0.04, 0.03, 0.001, 1.0, "additive"),  # certain, and too small to count
        (0.0, 0.05, 0.9, 1.0, "additive"),
        (0.0, 0.2, 0.9, 1.0, "undecided"),  # no evidence of an excess is not evidence of none
        (0.5, 0.6, 0.2, 1.0, "undecided"),
    ],
)
def test_a_call_says_what_the_rule_says(value: float, reach: float, q: float, additive: float, expected: str) -> None:
    assert call(found(value, reach), np.array([q]), np.array([additive]), RULE) == [expected]


def test_q_values_are_of_each_source_by_itself() -> None:
    few, many = [Term(normal(100, 0, mean=0.25))], [Term(normal(100, 1, mean=0.25))]
    changes = (np.zeros(3), np.zeros(3))
    both = excess_table({"few": few, "many": many}, changes, ["a", "b", "c"], RULE)
    alone = excess_table({"few": few}, changes, ["a", "b", "c"], RULE)
    assert list(both.loc[both["source"] == "few", "q"]) == list(alone["q"])
    np.testing.assert_allclose(alone["q"], stats.false_discovery_control(alone["p"]))
    assert (alone["q"] >= alone["p"]).all()
