import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import EDITED_PROGRAM, N_NEURONS, planted_neurons

from neuronedit.errors import DataError
from neuronedit.review.populations.profiles import LEVELS, profile, profiles_part
from neuronedit.review.subject import EditSubject


@pytest.fixture(scope="module")
def subject() -> EditSubject:
    return planted_neurons(donor_gap=0.05)


def test_a_profile_is_its_samples_percentiles(subject):
    found, pooled = profile(subject.pooled, "sample"), subject.pooled
    assert found.values.shape == (8, len(LEVELS), N_NEURONS)
    chosen = pooled.activations[pooled.label("sample") == found.samples[3], EDITED_PROGRAM]
    expected = np.percentile(chosen, LEVELS) / pooled.activations[:, EDITED_PROGRAM].std()
    np.testing.assert_allclose(found.values[3, :, EDITED_PROGRAM], expected, rtol=1e-5)


def test_the_part_compares_clusters_with_the_condition(subject):
    part = profiles_part(subject, "sample", "condition")
    assert (
        part.reading == "8 samples fall into 2 clusters; with condition they agree by an adjusted Rand index of 1.00."
    )
    assert part.scalars == {"sample_clusters_ari": 1}
    assert part.drawings[0].reading.startswith("Most alike are donor ")
    part.drawings[0].draw()
    assert profiles_part(subject, "sample").reading.endswith("by the quantiles of their activations.")


def test_fewer_than_three_samples_are_refused(subject):
    with pytest.raises(DataError, match=r"found 2 values of 'condition' with at least 50 events \(of 2\); expected at"):
        profiles_part(subject, "condition")
