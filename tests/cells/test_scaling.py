import numpy as np
import pytest

from neuronedit.cells.scaling import Scaling, fit_scaling
from neuronedit.errors import DataError

COFACTORS = np.array([5, 150], dtype=np.float32)


def test_arcsinh_divides_by_the_cofactor_first():
    scaling = Scaling(COFACTORS, np.zeros(2, np.float32), np.ones(2, np.float32))
    found = scaling.arcsinh([[5, 150], [0, -150]])
    # arcsinh(1) to the last bits of float32.
    np.testing.assert_allclose(found, [[np.log(1 + 2**0.5)] * 2, [0, -np.log(1 + 2**0.5)]], rtol=2e-7)
    assert found.dtype == np.float32


def test_intensities_undoes_arcsinh(cells):
    intensities = cells()
    scaling = fit_scaling([intensities], np.full(5, 5))
    # float32 keeps 7 digits of arcsinh; sinh multiplies their error by the value (about 6).
    np.testing.assert_allclose(scaling.intensities(scaling.arcsinh(intensities)), intensities, rtol=3e-6)


def test_unstandardise_undoes_standardise(cells):
    scaling = fit_scaling([cells()], np.full(5, 5))
    arcsinh = scaling.arcsinh(cells(seed=1))
    # One rounding of float32 each way, on values up to about 6.
    np.testing.assert_allclose(scaling.unstandardise(scaling.standardise(arcsinh)), arcsinh, atol=2e-6)


def test_the_population_that_was_fitted_has_mean_0_and_deviation_1(cells):
    scaling = fit_scaling([cells()], np.full(5, 5))
    standardised = scaling.standardise(scaling.arcsinh(cells())).astype(np.float64)
    # Means and deviations are kept in float32.
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(standardised.std(axis=0), 1, atol=1e-6)


def test_every_population_weighs_the_same_whatever_its_size():
    low, high = np.sinh([[0.0, 0.0]]) * COFACTORS, np.sinh([[2.0, 4.0]]) * COFACTORS
    one = fit_scaling([low, high], COFACTORS)
    many = fit_scaling([np.repeat(low, 99, axis=0), high], COFACTORS)
    np.testing.assert_allclose(one.means, [1, 2], rtol=1e-6)  # float32
    np.testing.assert_allclose(one.spreads, [1, 2], rtol=1e-6)
    # The same sums, made of 99 equal terms.
    np.testing.assert_allclose(many.means, one.means, rtol=1e-6)
    np.testing.assert_allclose(many.spreads, one.spreads, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_refused(cells, value):
    intensities = cells()
    intensities[7, 2] = value
    with pytest.raises(DataError, match=r"Marker 3 of the panel has values that are not finite numbers\. Leave these"):
        fit_scaling([cells(), intensities], np.full(5, 5))


def test_a_constant_marker_is_centred_and_not_stretched():
    scaling = fit_scaling([np.array([[5, 0], [5, 150]])], COFACTORS)
    assert scaling.spreads[0] == 1
    assert scaling.standardise(scaling.arcsinh([[5, 0]]))[0, 0] == 0
