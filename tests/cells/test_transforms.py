"""Each transform gives known answers and is undone; a panel of several transforms each marker by its own."""

import re

import numpy as np
import pytest

from neuronedit.cells.transforms import (
    TRANSFORMS,
    Arcsinh,
    Linear,
    Logicle,
    make_transform,
    restore_intensities,
    transform_facts,
    transform_markers,
)
from neuronedit.errors import PanelError

INTENSITIES = np.array([-1e6, -1e4, -100, -1, 0, 1e-3, 1, 100, 1e4, 262144, 1e6], np.float32)

OTHERS = [Logicle(), Logicle(1e4, 1.0, 4.0, 0.5), Logicle(10, 0.2, 2, -0.1), Arcsinh(5.0), Arcsinh(150.0), Linear()]


def test_arcsinh_divides_by_the_cofactor_first():
    # arcsinh(1) to the last bits of float32.
    np.testing.assert_allclose(Arcsinh(150.0).forward([150, 0, -150]), np.log(1 + 2**0.5) * np.array([1, 0, -1]), 2e-7)


def test_logicle_is_the_published_scale():
    # Moore & Parks 2012: with A = 0, 0 is led to W / M, T to 1; and the scale is symmetric about its zero.
    logicle = Logicle(top=1000, width=1, decades=4)
    found = logicle.forward([0.0, 1000.0, 7.5, -7.5], np.float64)
    np.testing.assert_allclose(found[:2], [0.25, 1], rtol=1e-12)
    np.testing.assert_allclose(found[2] - 0.25, 0.25 - found[3], rtol=1e-12)
    # Far from zero a decade of intensities is a decade, 1 / M, of the scale: what is left is the exponential below.
    top, tenth = Logicle().forward([262144.0, 26214.4], np.float64)
    np.testing.assert_allclose(top - tenth, 1 / 4.5, atol=2e-3)
    # The values that FlowUtils's own tests have for T = 1000, M = 4, W = 1, A = 0.
    np.testing.assert_allclose(
        logicle.forward([-10, -5, -1, 0, 0.3, 1, 3, 10, 100, 1000]),
        [0.067574, 0.147986, 0.228752, 0.25, 0.256384, 0.271248, 0.312897, 0.432426, 0.739548, 1],
        atol=1e-6,
    )


def test_linear_changes_nothing():
    assert Linear().forward(INTENSITIES).tobytes() == INTENSITIES.tobytes()
    np.testing.assert_array_equal(Linear().back(INTENSITIES), INTENSITIES)


@pytest.mark.parametrize("transform", OTHERS, ids=str)
def test_back_undoes_forward_below_zero_at_zero_and_beyond_the_top(transform):
    exact = transform.back(transform.forward(INTENSITIES, np.float64))
    # float64's rounding, which the scales multiply by at most their range.
    np.testing.assert_allclose(exact, INTENSITIES, rtol=1e-13, atol=1e-13)
    # float32's rounding of a scale of about 10, multiplied by how steep it is; near zero a cofactor or decade more.
    np.testing.assert_allclose(transform.back(transform.forward(INTENSITIES)), INTENSITIES, rtol=5e-6, atol=1e-4)
    assert transform.forward(INTENSITIES).dtype == np.float32
    assert (np.diff(transform.forward(INTENSITIES)) > 0).all()


@pytest.mark.parametrize("transform", OTHERS, ids=str)
def test_what_is_not_finite_stays_so(transform):
    np.testing.assert_array_equal(transform.forward([np.nan, np.inf, -np.inf]), [np.nan, np.inf, -np.inf])


def test_each_marker_is_transformed_by_its_own_whatever_stands_beside_it(rng):
    intensities = rng.normal(100, 200, (50, len(OTHERS))).astype(np.float32)
    found = transform_markers(intensities, OTHERS)
    assert (found.dtype, found.flags.c_contiguous) == (np.float32, True)
    for column, transform in enumerate(OTHERS):
        assert found[:, column].tobytes() == transform.forward(intensities[:, column]).tobytes()
        assert transform_markers(intensities[:7], OTHERS)[:, column].tobytes() == found[:7, column].tobytes()
    back = restore_intensities(found, OTHERS)
    assert back.dtype == np.float64
    np.testing.assert_allclose(back, intensities, rtol=5e-6, atol=1e-4)  # as above


def test_arcsinh_of_all_markers_is_numpys_bit_for_bit(rng):
    intensities, cofactors = rng.normal(0, 500, (100, 3)), np.array([5, 150, 7.3], np.float32)
    transforms = [Arcsinh(float(cofactor)) for cofactor in cofactors]
    expected = np.arcsinh(intensities.astype(np.float32) / cofactors)
    assert transform_markers(intensities, transforms).tobytes() == expected.tobytes()
    back = restore_intensities(expected, transforms)
    assert back.tobytes() == (np.sinh(expected.astype(np.float64)) * cofactors).tobytes()


@pytest.mark.parametrize("transform", OTHERS, ids=str)
def test_a_transform_is_made_again_from_its_facts(transform):
    facts = transform_facts(transform)
    assert make_transform(facts.pop("name"), facts) == transform
    assert TRANSFORMS[transform.name] is type(transform)


@pytest.mark.parametrize("value", [0.0, -5.0, np.inf, np.nan])
def test_a_cofactor_that_divides_nothing_is_refused(value):
    with pytest.raises(PanelError, match=rf"^arcsinh has cofactor {value}; expected a positive number \(5 for mass, 1"):
        Arcsinh(value)


@pytest.mark.parametrize(
    "parameters",
    [
        {"top": 0},
        {"top": np.inf},
        {"width": 0},
        {"width": 2.3},
        {"decades": np.nan},
        {"negatives": -0.6},
        {"negatives": 3.6},
    ],
    ids=str,
)
def test_logicle_parameters_that_make_no_scale_are_refused(parameters):
    message = (
        r"^logicle has top \S+, width \S+, decades \S+ and negatives \S+; expected top > 0, 0 < width ≤ decades / 2 "
        r"and -width ≤ negatives ≤ decades - 2 width \(usual: 262144, 0\.5, 4\.5 and 0\)\.$"
    )
    with pytest.raises(PanelError, match=message):
        Logicle(**parameters)


def test_an_unknown_transform_is_told_with_the_nearest_name():
    message = (
        "there is no transform 'logicel'; expected one of 'arcsinh', 'logicle', 'linear'; nearest name 'logicle'. "
        "Correct the name."
    )
    with pytest.raises(PanelError, match=f"^{re.escape(message)}$"):
        make_transform("logicel", {})


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("linear", {"cofactor": 5.0}, "'linear' is given 'cofactor'; expected no parameter. Leave it empty"),
        (
            "logicle",
            {"cofactor": 5.0},
            "'logicle' is given 'cofactor'; expected 'top', 'width', 'decades', 'negatives'. ",
        ),
        ("arcsinh", {"top": 5.0, "width": 1.0}, "'arcsinh' is given 'top', 'width'; expected 'cofactor'. Leave it"),
    ],
)
def test_a_parameter_of_another_transform_is_told(name, parameters, message):
    with pytest.raises(PanelError, match=re.escape(message)):
        make_transform(name, parameters)
