import numpy as np
import pytest

from neuronedit.cells.scaling import Scaling, fit_scaling
from neuronedit.cells.transforms import Arcsinh, Linear, Logicle
from neuronedit.errors import DataError

COFACTORS = np.array([5, 150], dtype=np.float32)
TRANSFORMS = (Arcsinh(5.0), Arcsinh(150.0))
FIVE = (Arcsinh(5.0),) * 5


def test_each_marker_is_transformed_by_its_own_transform():
    scaling = Scaling((Arcsinh(150.0), Logicle(), Linear()), np.zeros(3, np.float32), np.ones(3, np.float32))
    found = scaling.transform([[150, 262144, 3]])
    # arcsinh(1), the top of the logicle scale, and the value itself, to the last bits of float32.
    np.testing.assert_allclose(found, [[np.log(1 + 2**0.5), 1, 3]], rtol=2e-7)
    assert found.dtype == np.float32


def test_intensities_undoes_the_transforms(cells):
    intensities = cells()
    scaling = fit_scaling([intensities], FIVE)
    # float32 keeps 7 digits of arcsinh; sinh multiplies their error by the value (about 6).
    np.testing.assert_allclose(scaling.intensities(scaling.transform(intensities)), intensities, rtol=3e-6)


def test_unstandardise_undoes_standardise(cells):
    scaling = fit_scaling([cells()], FIVE)
    transformed = scaling.transform(cells(seed=1))
    # One rounding of float32 each way, on values up to about 6.
    np.testing.assert_allclose(scaling.unstandardise(scaling.standardise(transformed)), transformed, atol=2e-6)


def test_the_population_that_was_fitted_has_mean_0_and_deviation_1(cells):
    scaling = fit_scaling([cells()], FIVE)
    standardised = scaling.standardise(scaling.transform(cells())).astype(np.float64)
    # Means and deviations are kept in float32.
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(standardised.std(axis=0), 1, atol=1e-6)


def test_every_population_weighs_the_same_whatever_its_size():
    low, high = np.sinh([[0.0, 0.0]]) * COFACTORS, np.sinh([[2.0, 4.0]]) * COFACTORS
    one = fit_scaling([low, high], TRANSFORMS)
    many = fit_scaling([np.repeat(low, 99, axis=0), high], TRANSFORMS)
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
        fit_scaling([cells(), intensities], FIVE)


def test_a_constant_marker_is_centred_and_not_stretched():
    scaling = fit_scaling([np.array([[5, 0], [5, 150]])], TRANSFORMS)
    assert scaling.spreads[0] == 1
    assert scaling.standardise(scaling.transform([[5, 0]]))[0, 0] == 0
