import numpy as np
import pytest

from neuronedit.cells.split import split
from neuronedit.errors import DataError


def names(**counts):
    """Shuffled sample names, so many of each."""
    found = np.repeat(list(counts), list(counts.values())).astype(object)
    return np.random.default_rng(0).permutation(found)


def held(found, population, samples):
    return set(samples[found.held_out[population]]), set(samples[~found.held_out[population]])


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_is_held_out_whole_or_not_at_all(seed):
    samples = names(**{f"s{number}": 50 + number for number in range(20)})
    found = split({"S": len(samples)}, 0.1, seed, {"S": samples})
    out, kept = held(found, "S", samples)
    assert out == set(found.samples["S"])
    assert not out & kept
    assert 0.05 < found.held_out["S"].mean() < 0.15  # within half a sample, 5 %, of a tenth


def test_another_seed_holds_out_other_samples():
    samples = names(**{f"s{number}": 50 for number in range(20)})
    chosen = {split({"S": 1000}, 0.1, seed, {"S": samples}).samples["S"] for seed in range(5)}
    assert len(chosen) > 1


def test_a_sample_in_two_populations_is_held_out_of_both():
    samples = names(**{f"s{number}": 50 for number in range(20)})
    found = split({"S": 1000, "T": 1000}, 0.1, 0, {"S": samples, "T": samples[::-1]})
    assert found.samples["S"] == found.samples["T"]


def test_where_all_samples_are_large_the_smallest_is_held_out():
    samples = names(a=400, b=350, c=300)
    assert split({"S": 1050}, 0.1, 0, {"S": samples}).samples["S"] == ("c",)


@pytest.mark.parametrize(
    "samples",
    [None, {"S": names(a=100)}, {"S": names(a=50, b=50)}, {"T": names(a=50, b=50)}],
    ids=["unknown", "one", "two halves", "of others"],
)
def test_a_population_that_cannot_spare_a_sample_is_split_by_events_and_this_is_said(samples):
    found = split({"S": 100}, 0.1, 0, samples)
    assert found.held_out["S"].sum() == 10
    assert found.by_event == ("S",)
    assert found.sentence == (
        "validation on single events of 'S': of fewer than two known samples, or of none with at most 33% of the "
        "events; a loss on these does not show how it does on a new sample"
    )


def test_the_sentence_counts_the_populations_with_whole_samples():
    samples = {"S": names(**{f"s{number}": 10 for number in range(10)})}
    sentence = split({"S": 100, "T": 20}, 0.1, 0, samples).sentence
    assert sentence.startswith("validation on whole samples of 1 populations; validation on single events of 'T':")


def test_a_population_of_one_event_keeps_it():
    assert not split({"S": 1}, 0.49, 0).held_out["S"].any()


def test_samples_that_are_not_the_events_are_refused():
    with pytest.raises(
        DataError, match=r"^population 'S': expected the sample of each of 4 events, found 3\. Give one for each event"
    ):
        split({"S": 4}, 0.1, 0, {"S": names(a=3)})
