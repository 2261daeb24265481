import numpy as np

from neuronedit.scaling import fit_scaling


def test_each_population_weighs_the_same_whatever_its_size() -> None:
    few, many = np.full((10, 1), np.sinh(1) * 5), np.full((1000, 1), np.sinh(3) * 5)
    scaling = fit_scaling([few, many], [5.0])
    np.testing.assert_allclose(scaling.means, [2.0], rtol=1e-6)
    np.testing.assert_allclose(scaling.spreads, [1.0], rtol=1e-6)


def test_a_constant_marker_is_centred_and_not_stretched() -> None:
    scaling = fit_scaling([np.full((50, 1), 7.0)], [5.0])
    assert scaling.spreads[0] == 1
    assert abs(scaling.standardise(scaling.arcsinh([[7.0]]))[0, 0]) < 1e-6


def test_intensities_come_back_through_every_scale() -> None:
    raw = np.array([[0.0, -3.5], [1e4, 250.0]])
    scaling = fit_scaling([raw, raw + 1], [5.0, 150.0])
    back = scaling.intensities(scaling.unstandardise(scaling.standardise(scaling.arcsinh(raw))))
    np.testing.assert_allclose(back, raw, rtol=1e-5, atol=1e-5)  # float32 in between
