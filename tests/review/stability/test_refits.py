import numpy as np
import pytest

from neuronedit.errors import DataError
from neuronedit.review.stability.refits import compare_fits, names_warning, read_matches, refit_consistency, refits_part


@pytest.fixture
def code(rng):
    """(2,000, 4): independent neurons."""
    return rng.normal(size=(2_000, 4))


def test_a_rotation_keeps_the_space_and_loses_the_neurons(code, rng):
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    found = compare_fits([code, code @ rotation + 3], seed=0)
    np.testing.assert_allclose(found.r2, 1, atol=1e-9)
    # Independent neurons of equal spread correlate with their rotations by the rotation's own entries.
    assert found.matches[0] == pytest.approx(np.abs(rotation).max(axis=1), abs=0.05)  # two standard errors of r


def test_neurons_in_another_order_and_upside_down_are_found_again(code):
    found = compare_fits([code, -2 * code[:, ::-1]], seed=0)
    assert found.mean_match == pytest.approx(1)


def test_what_has_nothing_in_common_explains_nothing(code, rng):
    found = compare_fits([code, rng.normal(size=(2_000, 4))], seed=0)
    # On held-out events a map of chance costs up to some n_neurons / n_events.
    assert np.abs(found.r2[[0, 1], [1, 0]]).max() < 0.02


def test_the_share_explained_is_that_of_the_variance_and_not_the_same_both_ways(code):
    half = np.column_stack([code[:, :2], np.zeros((2_000, 2))])
    found = compare_fits([code, half], seed=0)
    assert found.r2[0, 1] == pytest.approx(1)
    assert found.r2[1, 0] == pytest.approx(0.5, abs=0.05)  # two of four neurons of equal spread
    assert found.mean_r2 == pytest.approx(0.75, abs=0.025)


def test_a_dead_neuron_has_no_match(code):
    dead = np.where(np.arange(4) == 2, 7.0, code)
    found = compare_fits([dead, code, code], seed=0)
    assert np.isnan(found.matches[:, 2]).all()
    assert found.mean_match == pytest.approx(1)
    assert found.match_table()["match"].isna().tolist() == [False, False, True, False]
    assert read_matches(compare_fits([0 * code, code], seed=0).match_table()) == "No neuron is alive."


def test_the_part_says_with_this_models_numbers_that_names_belong_to_one_version(trained_edit, refits):
    part = refits_part(trained_edit, refits)
    assert 0.7 < part.scalars["refit_r2"] < 1
    assert part.scalars["refit_match"] < part.scalars["refit_r2"]  # neurons rotate more than the space
    assert part.warning == (
        f"Across seeds the latent space has R² {part.scalars['refit_r2']:.2f}, single neurons a best-match r of "
        f"{part.scalars['refit_match']:.2f}: names belong to one model version."
    )
    assert part.reading.startswith("Over 2 refits from other seeds, a linear map explains ")
    assert len(part.tables["refit_r2"]) == 9
    assert len(part.tables["refit_matches"]) == 32
    r2, matches = (drawing.draw().axes[0] for drawing in part.drawings)
    np.testing.assert_allclose(np.diag(r2.images[0].get_array()), 1, atol=1e-6)
    widths = [bar.get_width() for bar in matches.patches]
    assert widths == sorted(widths)


def test_without_a_refit_nothing_can_be_said(trained_edit):
    with pytest.raises(
        DataError, match=r"found no refit; expected at least one\. Train the model with ensemble = 2 or"
    ):
        refit_consistency(trained_edit, [], seed=0)


def test_one_refit_is_told_as_one(code, trained_edit):
    found = compare_fits([code, code], seed=0)
    assert names_warning(found).startswith("Across seeds the latent space has R² 1.00")
    assert refits_part(trained_edit, [trained_edit.autoencoder]).reading.startswith("Over 1 refit from")
