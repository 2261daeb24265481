import sys

import numpy as np
import pytest

from neuronedit.edits.mix.composition import Composition, Confounding, confounding, match
from neuronedit.edits.operators.percentiles import weighted_percentiles
from neuronedit.errors import DataError

CENTRES = np.array([[0, 8, 0, 8], [8, 0, 0, 8], [0, 0, 8, 0]], dtype=np.float32)


def cells(rng, counts):
    kinds = np.repeat(["B", "mono", "T"], counts)
    return kinds, (np.repeat(CENTRES, counts, axis=0) + rng.normal(size=(len(kinds), 4))).astype(np.float32)


@pytest.fixture
def source(rng):
    return cells(rng, (300, 200, 500))


@pytest.fixture
def target(rng):
    return cells(rng, (150, 600, 250))


def one_hot(*counts):
    return np.repeat(np.eye(len(counts), dtype=np.float32), counts, axis=0)


def message_of(caught):
    return str(caught.value)


def test_weights_bring_the_targets_mix_to_the_sources():
    composition = Composition(("B", "T"), one_hot(30, 70), one_hot(60, 40))
    np.testing.assert_allclose(composition.target_weights, np.repeat([0.5, 1.75], [60, 40]))
    np.testing.assert_allclose(composition.source_weights, np.repeat([2, 4 / 7], [30, 70]))
    np.testing.assert_allclose(composition.target_weights.mean(), 1)


def test_equal_mixes_weigh_every_event_the_same():
    composition = Composition(("B", "T"), one_hot(30, 70), one_hot(60, 140))
    # Shares of float32 memberships, in float64.
    np.testing.assert_allclose(composition.target_weights, 1, rtol=1e-12)
    np.testing.assert_allclose(composition.source_weights, 1, rtol=1e-12)


def test_a_stratum_of_one_population_alone_has_no_weight():
    composition = Composition(("B", "T", "only source", "only target"), one_hot(48, 48, 4, 0), one_hot(20, 60, 0, 20))
    np.testing.assert_allclose(composition.target_weights, np.repeat([2.5, 5 / 6, 0], [20, 60, 20]))
    assert (composition.source_weights[-4:] == 0).all()
    assert composition.target_shares[composition.source_shares == 0] == pytest.approx(0.2)


def test_labels_and_clusters_give_the_same_mix(source, target):
    by_labels = match(source[1], target[1], seed=0, labels=(source[0], target[0]))
    by_clusters = match(source[1], target[1], seed=0)
    assert by_labels.strata == ("B", "T", "mono")
    for kind in ("B", "T", "mono"):
        # Of each true kind, its share in the weighted target: 300, 500 and 200 of 1,000; one event in 1,000 is unlike.
        shares = [weights.target_weights[target[0] == kind].sum() / 1000 for weights in (by_labels, by_clusters)]
        assert shares[0] == pytest.approx((source[0] == kind).mean())
        assert shares[1] == pytest.approx((source[0] == kind).mean(), abs=0.01)


def test_a_differing_mix_alone_shifts_no_percentile_within_the_kinds(source, target):
    weights = match(source[1], target[1], seed=0).target_weights
    before, after = weighted_percentiles(source[1], np.ones(1000), 11), weighted_percentiles(target[1], weights, 11)
    plain = weighted_percentiles(target[1], np.ones(1000), 11)
    # Marker 2 of 500 T cells against 250: the 80th percentile lies within the T cells in both.
    assert abs(after[8, 2] - before[8, 2]) < 0.3
    assert abs(plain[8, 2] - before[8, 2]) > 1


@pytest.mark.parametrize("kind", ["B", "mono", "T"])
def test_a_kind_that_the_target_lacks_is_refused_with_and_without_labels(source, target, kind):
    kept = target[0] != kind
    with pytest.raises(DataError, match=f"stratum '{kind}' holds"):
        match(source[1], target[1][kept], seed=0, labels=(source[0], target[0][kept]))
    with pytest.raises(DataError, match=r"stratum 'cluster \d' holds"):
        match(source[1], target[1][kept], seed=0, n_strata=3)


def test_the_refusal_says_what_is_lacking_and_what_to_do():
    with pytest.raises(DataError) as caught:
        Composition(("B", "T"), one_hot(30, 70), one_hot(1, 99))
    assert message_of(caught) == (
        "Composition: stratum 'B' holds 30.0% of the source (100 events) and 1.0% of the target (100 events); expected "
        "at least 1.5%. A mix cannot be matched without overlap: add such events to the target, leave them out of the "
        "source, or fit without matching."
    )


def test_labels_of_which_none_is_shared_are_refused():
    events = np.zeros((4, 2), dtype=np.float32)
    with pytest.raises(DataError) as caught:
        match(events, events, seed=0, labels=(["B", "B", "T", "T"], ["b cell"] * 4))
    assert message_of(caught) == (
        "Composition: source and target share no stratum (source: 'B', 'T'; target: 'b cell'). A mix cannot be matched "
        "without overlap: use the same labels in both, or fit without matching."
    )


@pytest.mark.parametrize(("role", "labels"), [("source", (["B"], ["B"] * 3)), ("target", (["B"] * 3, ["B"]))])
def test_labels_must_be_one_for_each_event(role, labels):
    events = np.zeros((3, 2), dtype=np.float32)
    with pytest.raises(DataError) as caught:
        match(events, events, seed=0, labels=labels)
    assert message_of(caught) == (
        f"Composition: 1 labels for 3 {role} events; expected one for each event, in the order of the events."
    )


def test_labels_may_be_numbers(source):
    numbers = (source[0] == "B").astype(int)
    assert match(source[1], source[1], seed=0, labels=(numbers, list(numbers))).strata == ("0", "1")


def test_what_only_the_mix_makes_is_called_confounded(source, target):
    composition = match(source[1], target[1], seed=0, labels=(source[0], target[0]))
    found = confounding(source[1], target[1], composition)
    assert found.composition_share > 0.9
    assert found.verdict == "confounded"


def test_an_effect_in_the_same_mix_is_called_clean(source, rng):
    kinds, again = cells(rng, (300, 200, 500))
    composition = match(source[1], again, seed=0, labels=(source[0], kinds))
    effect = np.array([2, 0, 0, 0], dtype=np.float32)
    found = confounding(source[1], again + effect, composition)
    assert found.composition_share == 0
    assert found.verdict == "clean"
    # The W1 of a shift is the shift, give or take the noise of two samples of 1,000 events eight spreads wide.
    assert found.by_state[0] == pytest.approx(2, abs=0.3)


def test_sampling_alone_is_no_confounding(source, rng):
    others = [cells(rng, rng.multinomial(1000, [0.3, 0.2, 0.5])) for _ in range(10)]
    shares = [
        confounding(
            source[1],
            events + np.float32(0.5),
            match(source[1], events, seed=0, labels=(source[0], kinds)),
        ).composition_share
        for kinds, events in others
    ]
    assert np.mean(shares) < 0.1


@pytest.mark.parametrize(("by_mix", "verdict"), [(1, "clean"), (2, "doubtful"), (5, "confounded")])
def test_verdicts_follow_the_composition_share(by_mix, verdict):
    found = Confounding(np.array([by_mix, 0.0]), np.array([4.0, 5.0]))
    assert found.composition_share == pytest.approx(by_mix / (by_mix + 9))
    assert found.verdict == verdict


def test_no_difference_at_all_is_clean(source):
    composition = match(source[1], source[1], seed=0, labels=(source[0], source[0]))
    found = confounding(source[1], source[1], composition)
    assert found.composition_share == 0
    assert found.verdict == "clean"


def test_matching_needs_no_scipy(source, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    assert len(match(source[1], source[1], seed=0, labels=(source[0], source[0])).target_weights) == 1000
