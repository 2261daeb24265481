"""Transforms of raw intensities: arcsinh, logicle, or none for values that are transformed already; one per marker."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from flowutils.transforms import logicle, logicle_inverse

from neuronedit.arrays import Float32s, Float64s, Floats
from neuronedit.errors import PanelError, listing, nearest_name

MASS_COFACTOR = 5.0
"""The usual cofactor of mass cytometry; fluorescence cytometry uses about 150."""

MAX_TRANSFORMED = 12.0
"""No transform leads intensities beyond it: arcsinh(262144 / 5) is 11.6; logicle ends at 1, or at 4.5 decades."""

MIXED_UNIT = "transformed units"
"""The unit of markers that have different transforms."""


class Transform(Protocol):
    """A transform of one marker's intensities; each event is computed by itself.

    Attributes:
        name: In panel files and models.
        unit: Names the transformed scale on axes.
        bin_width: Of histograms on that scale.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    bin_width: ClassVar[float]

    def forward(self, intensities: npt.ArrayLike, dtype: type[np.floating] = np.float32) -> Floats:
        """Transform raw intensities of any shape; what is not finite stays so."""
        ...

    def back(self, transformed: npt.ArrayLike) -> Float64s:
        """Undo ``forward``: transformed values of any shape → raw intensities."""
        ...


@dataclass(frozen=True)
class Arcsinh:
    """The transform arcsinh(intensity / cofactor).

    Attributes:
        cofactor: 5 for mass, 150 for fluorescence cytometry; computed with in float32.

    Raises:
        PanelError: The cofactor is not a positive number.

    Example:
        >>> Arcsinh(5.0).forward(5 * np.sinh([0.0, 2.0])).round(3).tolist()
        [0.0, 2.0]
    """

    cofactor: float = MASS_COFACTOR

    name: ClassVar[str] = "arcsinh"
    unit: ClassVar[str] = "arcsinh units"
    bin_width: ClassVar[float] = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.cofactor < float("inf"):
            raise PanelError(
                f"arcsinh has cofactor {self.cofactor}; expected a positive number "
                "(5 for mass, 150 for fluorescence cytometry)."
            )

    def forward(self, intensities: npt.ArrayLike, dtype: type[np.floating] = np.float32) -> Floats:
        """Transform raw intensities of any shape; what is not finite stays so."""
        return np.arcsinh(np.asarray(intensities, dtype) / np.float32(self.cofactor))

    def back(self, transformed: npt.ArrayLike) -> Float64s:
        """Undo ``forward``: transformed values of any shape → raw intensities."""
        return np.asarray(np.sinh(np.asarray(transformed, np.float64)) * np.float32(self.cofactor))


@dataclass(frozen=True)
class Logicle:
    """The logicle scale: logarithmic far from zero, linear about it, 1 at the top; computed in float64.

    It goes on in the same way above the top and below the negative decades.

    Attributes:
        top: The intensity that is led to 1, T.
        width: Decades of the linear part, W.
        decades: Of the whole scale, M.
        negatives: Further decades below zero, A.

    Raises:
        PanelError: The parameters make no scale.

    Source: Moore & Parks 2012, Cytometry A 81A:273, equations 5 to 7, as FlowUtils computes them.

    Example:
        >>> Logicle().forward([-100.0, 0.0, 100.0, 262144.0], np.float64).round(4).tolist()
        [0.009, 0.1111, 0.2132, 1.0]
    """

    top: float = 262144.0
    width: float = 0.5
    decades: float = 4.5
    negatives: float = 0.0

    name: ClassVar[str] = "logicle"
    unit: ClassVar[str] = "logicle units"
    bin_width: ClassVar[float] = 0.02

    def __post_init__(self) -> None:
        possible = (
            0 < self.top < float("inf")
            and 0 < self.width <= self.decades / 2 < float("inf")
            and -self.width <= self.negatives <= self.decades - 2 * self.width
        )
        if not possible:
            raise PanelError(
                f"logicle has top {self.top:g}, width {self.width:g}, decades {self.decades:g} and negatives "
                f"{self.negatives:g}; expected top > 0, 0 < width ≤ decades / 2 and "
                "-width ≤ negatives ≤ decades - 2 width (usual: 262144, 0.5, 4.5 and 0)."
            )

    def forward(self, intensities: npt.ArrayLike, dtype: type[np.floating] = np.float32) -> Floats:
        """Transform raw intensities of any shape; what is not finite stays so."""
        given = np.asarray(intensities, np.float64)
        scale = logicle(given.ravel(), None, self.top, self.decades, self.width, self.negatives).reshape(given.shape)
        # FlowUtils gives -1 for what is not finite.
        return np.where(np.isfinite(given), scale, given).astype(dtype)

    def back(self, transformed: npt.ArrayLike) -> Float64s:
        """Undo ``forward``: transformed values of any shape → raw intensities."""
        given = np.asarray(transformed, np.float64)
        found = logicle_inverse(given.ravel(), None, self.top, self.decades, self.width, self.negatives)
        return np.asarray(found.reshape(given.shape))


@dataclass(frozen=True)
class Linear:
    """No transform: for values that are transformed already.

    Example:
        >>> Linear().forward([-1.0, 0.5]).tolist()
        [-1.0, 0.5]
    """

    name: ClassVar[str] = "linear"
    unit: ClassVar[str] = "linear units"
    bin_width: ClassVar[float] = 0.2

    def forward(self, intensities: npt.ArrayLike, dtype: type[np.floating] = np.float32) -> Floats:
        """Give the values in the type asked for."""
        return np.asarray(intensities, dtype)

    def back(self, transformed: npt.ArrayLike) -> Float64s:
        """Give the values in float64."""
        return np.asarray(transformed, np.float64)


TRANSFORMS: Mapping[str, Callable[..., Transform]] = {kind.name: kind for kind in (Arcsinh, Logicle, Linear)}
"""All transforms, by the name that panel files and models have for them."""

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    name: tuple(signature(kind).parameters) for name, kind in TRANSFORMS.items()
}
"""The names of each transform's parameters, which are numbers."""


def make_transform(name: str, parameters: Mapping[str, float]) -> Transform:
    """Make a transform from its name and parameters; those left out have their usual values.

    Raises:
        PanelError: There is no such transform, a parameter is another transform's, or they make no scale.

    Example:
        >>> make_transform("arcsinh", {"cofactor": 150.0})
        Arcsinh(cofactor=150.0)
    """
    if name not in TRANSFORMS:
        raise PanelError(
            f"there is no transform {name!r}; expected one of {listing(TRANSFORMS)}{nearest_name(name, TRANSFORMS)}. "
            "Correct the name."
        )
    foreign = [parameter for parameter in parameters if parameter not in PARAMETERS[name]]
    if foreign:
        raise PanelError(
            f"the transform {name!r} is given {listing(foreign)}; expected "
            f"{listing(PARAMETERS[name]) or 'no parameter'}. Leave it empty, or name the transform that it belongs to."
        )
    return TRANSFORMS[name](**parameters)


def one_each(given: float | Transform | Sequence[float | Transform], n_markers: int) -> list[float | Transform]:
    """Give each marker a transform, where one is given for all; a number is arcsinh's cofactor.

    Example:
        >>> one_each(150.0, 2), one_each([5.0, Linear()], 2)
        ([150.0, 150.0], [5.0, Linear()])
    """
    return list(given) if isinstance(given, (Sequence, np.ndarray)) else [given] * n_markers


def transform_facts(transform: Transform) -> dict[str, Any]:
    """A transform's name and parameters, as a model's file has them.

    Example:
        >>> transform_facts(Arcsinh(150.0))
        {'name': 'arcsinh', 'cofactor': 150.0}
    """
    return {"name": transform.name} | {name: getattr(transform, name) for name in PARAMETERS[transform.name]}


def common_unit(transforms: Iterable[Transform]) -> str:
    """The unit of transformed values, for axes that several markers share.

    Example:
        >>> common_unit([Arcsinh(5.0), Arcsinh(150.0)]), common_unit([Arcsinh(), Logicle()])
        ('arcsinh units', 'transformed units')
    """
    units = {transform.unit for transform in transforms}
    return units.pop() if len(units) == 1 else MIXED_UNIT


def all_cofactors(transforms: Sequence[Transform]) -> Float32s | None:
    """(n_markers,) float32, where every transform is arcsinh; otherwise None.

    Example:
        >>> all_cofactors([Arcsinh(5.0), Arcsinh(150.0)]).tolist(), all_cofactors([Arcsinh(5.0), Linear()])
        ([5.0, 150.0], None)
    """
    cofactors = [transform.cofactor for transform in transforms if isinstance(transform, Arcsinh)]
    return np.array(cofactors, np.float32) if len(cofactors) == len(transforms) else None


def transform_markers(
    intensities: npt.ArrayLike, transforms: Sequence[Transform], dtype: type[np.floating] = np.float32
) -> npt.NDArray[Any]:
    """Transform raw intensities, each marker by its own transform.

    Args:
        intensities: (n_events, n_markers).
        transforms: (n_markers,).
        dtype: Of the computation and the result.

    Returns:
        (n_events, n_markers), transformed units.

    Example:
        >>> transform_markers([[5 * np.sinh(2.0), 2.0]], [Arcsinh(5.0), Linear()]).round(3).tolist()
        [[2.0, 2.0]]
    """
    given, cofactors = np.asarray(intensities, dtype), all_cofactors(transforms)
    if cofactors is not None:  # all markers at once, in the same bits
        return np.arcsinh(given / cofactors)
    columns = zip(transforms, given.T, strict=True)
    return np.stack([transform.forward(column, dtype) for transform, column in columns], axis=-1)


def restore_intensities(transformed: Float32s, transforms: Sequence[Transform]) -> Float64s:
    """Undo ``transform_markers``: (n_events, n_markers) in transformed units → raw intensities, float64.

    Example:
        >>> transforms = [Arcsinh(5.0), Linear()]
        >>> restore_intensities(transform_markers([[150.0, 2.0]], transforms), transforms).round(2).tolist()
        [[150.0, 2.0]]
    """
    cofactors = all_cofactors(transforms)
    if cofactors is not None:
        return np.sinh(transformed.astype(np.float64)) * cofactors
    columns = zip(transforms, transformed.T, strict=True)
    return np.stack([transform.back(column) for transform, column in columns], axis=-1)
