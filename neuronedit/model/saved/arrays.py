"""The arrays of a saved model: which there must be, of which shapes and types, and that no edit by them overflows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from neuronedit.arrays import Arrays
from neuronedit.cells.events import MAX_INTENSITY
from neuronedit.cells.scaling import Scaling
from neuronedit.cells.transforms import Transform
from neuronedit.edits.operators.transport import LAYERS, WIDTH
from neuronedit.edits.students.student import N_BINS, network_shapes
from neuronedit.edits.support import OWN_PERCENTILE
from neuronedit.errors import ModelError, listing
from neuronedit.model.saved.facts import REMEDY, EditFacts, ModelFacts
from neuronedit.network.autoencoder import Architecture

MAX_VALUE: Final = 1e15
"""The largest value that an array may have. Values are standard deviations, or weights; squares of distances are summed
in float32, and a square of this one can be summed over 10⁸ neurons before it overflows."""

MIN_SPREAD: Final = 1e-6
"""The least standard deviation of a marker, transformed units; one below 1e-3 is saved as 1."""

ROUNDING: Final = 1e-3
"""By so much of itself a value may be beyond the range of float32 intensities, as rounding put it there."""

Size = int | str
"""A number, or a name: dimensions of the same name in one group of arrays have the same size, which is at least 1."""


@dataclass(frozen=True)
class Rule:
    """What one array must be like.

    Attributes:
        shape: Its dimensions.
        dtype: The type of its values.
        above: Each value is above this number.
        ascending: Values do not fall along the dimension before the last, but for rounding.
        gaps: NaN may stand for no value.
    """

    shape: tuple[Size, ...]
    dtype: type[np.generic] = np.float32
    above: float = -np.inf
    ascending: bool = False
    gaps: bool = False


Rules = Mapping[str, Rule]


def checked_scaling(
    facts: ModelFacts, transforms: tuple[Transform, ...], arrays: Arrays, further: Rules, where: str
) -> Scaling:
    """Check all arrays of a model's file before anything else is made of them.

    Args:
        facts: The facts of the same model.
        transforms: (n_markers,) the panel's.
        arrays: All arrays of the file, by name.
        further: Rules of arrays that only this format has.
        where: The file, for the message.

    Returns:
        The scaling, of the model's means and spreads.

    Raises:
        ModelError: An array is missing or surplus, of another shape or type; or a value is not finite, so large that an
            edit would overflow, or of a sign that it cannot have.

    Example:
        >>> import json
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.model.saved import files
        >>> facts = ModelFacts.model_validate_json(json.dumps(files._facts(example_model(), "")))
        >>> checked_scaling(facts, example_model().panel.transforms, {}, {}, "model")
        Traceback (most recent call last):
        neuronedit.errors.ModelError: model: 0 arrays; expected at least ...
    """
    n_markers = len(transforms)
    groups: dict[str, Rules] = {"": further, "scaling.": scaling_rules(n_markers)}
    layers = network_rules(n_markers, facts.architecture)
    if facts.autoencoders * len(layers) > len(arrays):  # before so many rules are made
        raise ModelError(
            f"{where}: {len(arrays)} arrays; expected at least {len(layers)} for each of {facts.autoencoders} "
            f"autoencoders. {REMEDY}"
        )
    groups |= {f"autoencoders.{number}.": layers for number in range(facts.autoencoders)}
    for name, edit in facts.edits.items():
        groups |= {f"edits.{name}.{part}": rules for part, rules in _edit_rules(edit, n_markers, facts.architecture)}
    expected = {f"{prefix}{name}" for prefix, rules in groups.items() for name in rules}
    if missing := sorted(expected - set(arrays)):
        raise ModelError(f"{where}: the array {missing[0]!r} is missing ({len(missing)} in all). {REMEDY}")
    if surplus := sorted(set(arrays) - expected):
        raise ModelError(f"{where}: holds {listing(surplus, 3)}, which the model does not have. {REMEDY}")
    for prefix, rules in groups.items():
        _check_group(arrays, prefix, rules, where)
    scaling = Scaling(transforms, arrays["scaling.means"], arrays["scaling.spreads"])
    _check_transforms(scaling, where)
    for name, edit in facts.edits.items():
        _check_edit(arrays, name, edit, scaling, where)
    return scaling


def scaling_rules(n_markers: int) -> dict[str, Rule]:
    """The arrays of the scaling.

    Example:
        >>> sorted(scaling_rules(37))
        ['means', 'spreads']
    """
    return {"means": Rule((n_markers,)), "spreads": Rule((n_markers,), above=MIN_SPREAD)}


def network_rules(n_markers: int, architecture: Architecture) -> dict[str, Rule]:
    """The weights and biases of an autoencoder.

    Example:
        >>> network_rules(5, Architecture(hidden=(8,), code=3))["layers.1.weight"].shape
        (3, 8)
    """
    inner = [*architecture.hidden, architecture.code, *architecture.hidden[::-1]]
    rules = {}
    for number, (n_in, n_out) in enumerate(pairwise([n_markers, *inner, n_markers])):
        rules[f"layers.{number}.weight"] = Rule((n_out, n_in))
        rules[f"layers.{number}.bias"] = Rule((n_out,))
    return rules


def operator_rules(operator: str, n_neurons: int) -> dict[str, Rule]:
    """The arrays of one step, by its operator.

    Example:
        >>> operator_rules("linear", 5)["shifts"].shape
        ('percentiles', 5)
    """
    if operator in ("step", "linear", "trained"):
        return {
            "knots": Rule(("percentiles", n_neurons), ascending=True),
            "shifts": Rule(("percentiles", n_neurons)),
        }
    if operator == "neighbours":
        return {"knots": Rule(("landmarks", n_neurons)), "shifts": Rule(("landmarks", n_neurons))}
    if operator == "strata":
        return {
            "alignment.knots": Rule(("quartiles", n_neurons), ascending=True),
            "alignment.shifts": Rule(("quartiles", n_neurons)),
            "centres": Rule(("strata", n_neurons)),
            "spreads": Rule(("strata", n_neurons), above=0),
            "log_weights": Rule(("strata",)),
            "knots": Rule(("strata", "percentiles", n_neurons), ascending=True),
            "shifts": Rule(("strata", "percentiles", n_neurons)),
            "fell_back": Rule(("strata",), np.bool_),
            "reach": Rule((1,), np.float64, above=0),
        }
    assert operator == "transport"
    rules = {name: Rule((n_neurons,)) for name in ("drift", "lowest", "highest")}
    for name, (n_in, n_out) in zip(LAYERS, pairwise((n_neurons, WIDTH, WIDTH, n_neurons)), strict=True):
        rules |= {f"network.{name}.weight": Rule((n_out, n_in)), f"network.{name}.bias": Rule((n_out,))}
    return rules


def _check_transforms(scaling: Scaling, where: str) -> None:
    n_markers = len(scaling.transforms)
    with np.errstate(all="ignore"):
        there = scaling.transform(np.array([[0.0], [100.0]]).repeat(n_markers, axis=1))
        finite = np.isfinite(there).all(axis=0) & np.isfinite(scaling.intensities(there)).all(axis=0)
    if not finite.all():
        marker = int(finite.argmin())
        raise ModelError(
            f"{where}: the transform {scaling.transforms[marker]} of marker {marker + 1} does not lead the intensities "
            f"0 and 100 there and back. {REMEDY}"
        )


def _edit_rules(edit: EditFacts, n_markers: int, architecture: Architecture) -> Iterator[tuple[str, Rules]]:
    yield "spikes.", {name: Rule((n_markers,), gaps=True) for name in ("zeros", "thresholds")}
    yield (
        "support.",
        {
            "landmarks": Rule(("landmarks", n_markers)),
            "own_distances": Rule(("landmarks",)),
            "effect": Rule((1,), np.float64),
        },
    )
    yield "target.", {"percentiles": Rule(("percentiles", n_markers), ascending=True)}
    if edit.student:
        curves = {"edges": Rule((4, n_markers), ascending=True), "values": Rule((N_BINS + 1, n_markers))}
        yield "student.", curves | {name: Rule(shape) for name, shape in network_shapes(n_markers).items()}
    widths = [n_markers, *architecture.hidden, architecture.code, *architecture.hidden[::-1]]
    for number, member in enumerate(edit.members):
        for index, step in enumerate(member.steps):
            for place, layer in step.places(architecture).items():
                width = widths[architecture.layer_names.index(layer)]
                yield f"{number}.{index}.{place}", operator_rules(step.operator, width)


def _check_group(arrays: Arrays, prefix: str, rules: Rules, where: str) -> None:
    sizes: dict[str, int] = {}
    for name, rule in rules.items():
        array, full = arrays[f"{prefix}{name}"], f"{where}: the array {prefix + name!r}"
        if array.dtype != rule.dtype or array.ndim != len(rule.shape):
            raise ModelError(
                f"{full} is {array.dtype} with {array.ndim} dimensions; expected {np.dtype(rule.dtype)} with "
                f"{len(rule.shape)}. {REMEDY}"
            )
        for size, found in zip(rule.shape, array.shape, strict=True):
            expected = size if isinstance(size, int) else sizes.setdefault(size, max(found, 1))
            if found != expected:
                raise ModelError(f"{full} has the shape {array.shape}; expected {_shape(rule, sizes)}. {REMEDY}")
        if rule.dtype is not np.bool_:
            _check_values(array, rule, full)


def _check_values(array: npt.NDArray[Any], rule: Rule, full: str) -> None:
    wrong = ~(np.abs(array) <= MAX_VALUE)  # NaN is below nothing
    if rule.gaps:
        wrong &= ~np.isnan(array)
    if wrong.any():
        kind = "not finite" if not np.isfinite(array[wrong]).all() else f"beyond ±{MAX_VALUE:g}, where edits overflow,"
        raise ModelError(
            f"{full} has {int(wrong.sum())} values {kind} among {array.size}; expected finite numbers. {REMEDY}"
        )
    if (low := array <= rule.above).any():
        raise ModelError(
            f"{full} has {int(low.sum())} values up to {array[low].max():g} among {array.size}; expected all above "
            f"{rule.above:g}. {REMEDY}"
        )
    if rule.ascending:
        falls = -np.diff(array.astype(np.float64), axis=-2)
        if (falls > 1e-5 * np.abs(array[..., 1:, :]) + 1e-30).any():
            raise ModelError(f"{full} does not ascend, as percentiles do. {REMEDY}")


def _check_edit(arrays: Arrays, name: str, edit: EditFacts, scaling: Scaling, where: str) -> None:
    """Check what one array alone does not show: distances, gaps, clipping, and values that are led back."""
    begin = f"edits.{name}."
    own = arrays[f"{begin}support.own_distances"]
    if len(own) < 2 or (own < 0).any() or not np.percentile(own, OWN_PERCENTILE) > 0:
        raise ModelError(
            f"{where}: the array {begin + 'support.own_distances'!r} has {len(own)} distances; expected at least 2, "
            f"not below 0 and not all 0. {REMEDY}"
        )
    zeros, thresholds = arrays[f"{begin}spikes.zeros"], arrays[f"{begin}spikes.thresholds"]
    if (np.isnan(zeros) != np.isnan(thresholds)).any():
        raise ModelError(f"{where}: {begin}spikes: zeros and thresholds are of different markers. {REMEDY}")
    # Measured values, and differences of such: in transformed units, no two float32 intensities are further apart.
    for place in ("target.percentiles", "support.landmarks"):
        led_back = arrays[begin + place].astype(np.float64) * scaling.spreads + scaling.means
        _check_reach(led_back, 1, scaling, f"{where}: the array {begin + place!r}")
    if edit.student:
        _check_student(arrays, f"{begin}student.", scaling, where)
    for number, member in enumerate(edit.members):
        for index, step in enumerate(member.steps):
            part = f"{begin}{number}.{index}."
            for lowest in (name for name in arrays if name.startswith(part) and name.endswith(".lowest")):
                highest = f"{lowest.removesuffix('lowest')}highest"
                if (arrays[lowest] > arrays[highest]).any():
                    raise ModelError(f"{where}: {lowest} is above {highest}. {REMEDY}")
            if not step.latent:
                shift = part + ("drift" if step.operator == "transport" else "shifts")
                change = arrays[shift].astype(np.float64) * scaling.spreads
                _check_reach(change, 2, scaling, f"{where}: the array {shift!r}")


def _check_student(arrays: Arrays, part: str, scaling: Scaling, where: str) -> None:
    if not (np.diff(arrays[f"{part}edges"], axis=0) > MIN_SPREAD).all():
        raise ModelError(f"{where}: {part}edges lie on one another, as no student's do. {REMEDY}")
    change = arrays[f"{part}values"].astype(np.float64) * scaling.spreads
    _check_reach(change, 2, scaling, f"{where}: the array {part + 'values'!r}")


def _check_reach(transformed: npt.NDArray[np.float64], ranges: int, scaling: Scaling, full: str) -> None:
    ends = np.array([[-MAX_INTENSITY], [MAX_INTENSITY]])
    reach = np.array([np.abs(transform.forward(ends, np.float64)).max() for transform in scaling.transforms])
    beyond = np.abs(transformed) > ranges * reach * (1 + ROUNDING)
    if beyond.any():
        raise ModelError(
            f"{full} leads {int(beyond.sum())} of {beyond.size} values beyond float32 intensities "
            f"(±{MAX_INTENSITY:g}). {REMEDY}"
        )


def _shape(rule: Rule, sizes: Mapping[str, int]) -> str:
    told = [str(size if isinstance(size, int) else sizes.get(size, size)) for size in rule.shape]
    return f"({', '.join(told)}{',' if len(told) == 1 else ''})"
