from dataclasses import replace

import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import (
    EDITED_MARKERS,
    MARKERS,
    N_NEURONS,
    N_TYPES,
    TYPES,
    planted_neurons,
)

from neuronedit.review.populations.patterns import NO_PATTERN, find_patterns, patterns_part

SKEWED = np.r_[0.55, np.full(N_TYPES - 1, 0.45 / (N_TYPES - 1))]
EDITED = np.isin(MARKERS, EDITED_MARKERS)


@pytest.fixture(scope="module")
def found():
    return find_patterns(planted_neurons(1_500, target_mix=SKEWED), seed=0)


def test_the_largest_pattern_is_the_first(found):
    counts = np.bincount(np.concatenate([found.source, found.target]) + 1)
    assert (np.diff(counts[1:]) <= 0).all()


def test_the_part_tells_shares_and_names_patterns_by_labels():
    part = patterns_part(planted_neurons(800, target_mix=SKEWED), "type")
    table = part.tables["patterns"]
    named = table[table["pattern"] != "none"]
    assert set(named["label"]) == set(TYPES)
    assert (named["label_share"] > 0.95).all()
    assert named["label"].iloc[0] == TYPES[0]
    assert table[["source_share", "target_share"]].sum().tolist() == pytest.approx([1, 1])
    assert "differ most in pattern 1 (1" in part.reading
    assert part.warning == ""
    part.drawings[0].draw()


def test_a_pattern_that_one_population_lacks_is_told():
    lacking = np.r_[0, np.full(N_TYPES - 1, 1 / (N_TYPES - 1))]
    assert "nearly all events are of one population" in patterns_part(planted_neurons(800, target_mix=lacking)).warning


def test_one_cloud_has_no_patterns(rng):
    subject = planted_neurons(300)
    clouds = [
        replace(p, activations=rng.random((300, N_NEURONS), np.float32)) for p in (subject.source, subject.target)
    ]
    cloudy = replace(subject, source=clouds[0], target=clouds[1])
    assert (find_patterns(cloudy, seed=0).source == NO_PATTERN).all()
    assert patterns_part(cloudy).reading.startswith("The layer's activations have no patterns")
