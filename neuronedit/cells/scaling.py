"""The scale that the autoencoder sees: raw intensities ↔ transformed units ↔ standard deviations from the mean."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuronedit.arrays import Float32s, Float64s, Floats
from neuronedit.cells.panel import FLUORESCENCE_COFACTOR, Panel
from neuronedit.cells.transforms import MASS_COFACTOR, Arcsinh, Transform, restore_intensities, transform_markers
from neuronedit.errors import DataError, listing

log = logging.getLogger(__name__)

MIN_MARKER_SPREAD = 1e-3
"""A marker whose standard deviation (transformed units) is below this is constant; it is centred, not stretched."""

BELOW_ZERO = 0.05
"""The share of events below -15 from which a cofactor of 5 is taken for a mistake."""


@dataclass(frozen=True)
class Scaling:
    """Each marker's transform, then each marker to mean 0 and standard deviation 1.

    Attributes:
        transforms: (n_markers,) from raw intensities to transformed units.
        means: (n_markers,) float32, transformed units.
        spreads: (n_markers,) float32, standard deviations in transformed units, all positive.

    Example:
        >>> from neuronedit.cells.transforms import Arcsinh
        >>> scaling = fit_scaling([np.array([[0.0], [10.0]])], [Arcsinh(5.0)])
        >>> scaling.standardise(scaling.transform([[0.0], [10.0]])).round(3).tolist()
        [[-1.0], [1.0]]
    """

    transforms: tuple[Transform, ...]
    means: Float32s
    spreads: Float32s

    @property
    def zeros(self) -> Float32s:
        """Zero intensity when standardised, (n_markers,) float32: the same bits as a measured zero gets."""
        return self.standardise(self.transform(np.zeros((1, len(self.means)))))[0]

    def transform(self, intensities: npt.ArrayLike) -> Float32s:
        """Transform raw intensities, (n_events, n_markers) → transformed units, float32."""
        return transform_markers(intensities, self.transforms)

    def standardise(self, transformed: Float32s) -> Float32s:
        """Centre and stretch transformed units, (n_events, n_markers) → standard deviations from the mean, float32."""
        return (transformed - self.means) / self.spreads

    def unstandardise(self, standardised: Float32s) -> Float32s:
        """Undo ``standardise``: (n_events, n_markers) → transformed units, float32."""
        return standardised * self.spreads + self.means

    def intensities(self, transformed: Float32s) -> Float64s:
        """Undo the transforms: (n_events, n_markers) in transformed units → raw intensities, float64."""
        return restore_intensities(transformed, self.transforms)


def fit_scaling(populations: Iterable[Floats], transforms: Sequence[Transform]) -> Scaling:
    """Fit each marker's mean and standard deviation, every population weighing the same whatever its size.

    Args:
        populations: Raw intensities, (n_events, n_markers) each.
        transforms: (n_markers,) the panel's.

    Raises:
        DataError: A value is not finite: one is enough to spoil a marker's mean, and every percentile.

    Example:
        >>> from neuronedit.cells.transforms import Arcsinh
        >>> many, one = np.zeros((9, 1)), np.sinh([[1.0]])
        >>> fit_scaling([many, one], [Arcsinh(1.0)]).means.round(3).tolist()
        [0.5]
    """
    scaled = [transform_markers(population, transforms, np.float64) for population in populations]
    for population in scaled:
        wrong = ~np.isfinite(population).all(axis=0)
        if wrong.any():
            raise DataError(
                f"Marker {int(wrong.argmax()) + 1} of the panel has values that are not finite numbers. "
                "Leave these events out, or fill the values."
            )
    means = np.mean([population.mean(axis=0) for population in scaled], axis=0)
    variances = np.mean([((population - means) ** 2).mean(axis=0) for population in scaled], axis=0)
    spreads = np.sqrt(variances)
    return Scaling(
        tuple(transforms),
        means.astype(np.float32),
        np.where(spreads < MIN_MARKER_SPREAD, 1.0, spreads).astype(np.float32),
    )


def tell_small_cofactors(panel: Panel, intensities: Iterable[Floats]) -> None:
    """Warn of markers that have the cofactor of mass cytometry and spread below zero like fluorescence.

    Mass cytometers count ions: noise below zero is a count or two there, and hundreds on flow cytometers.

    Args:
        panel: The markers.
        intensities: Raw, (n_events, n_markers) of each population.

    Example:
        >>> tell_small_cofactors(Panel(("CD3",), (5.0,)), [np.random.default_rng(0).poisson(4, (99, 1)) - 0.5])
    """
    populations = [np.asarray(events) for events in intensities]
    small = [
        marker
        for column, (marker, transform) in enumerate(zip(panel.markers, panel.transforms, strict=True))
        if transform == Arcsinh(MASS_COFACTOR)
        and any(np.mean(events[:, column] < -3 * MASS_COFACTOR) > BELOW_ZERO for events in populations)
    ]
    if small:
        log.warning(
            "The cofactor of %s is %g, that of mass cytometry, and many of their values are far below zero, as "
            "those of fluorescence are: %g is usual there. Set panel.cofactor, or the column cofactor of the panel "
            "file.",
            listing(small),
            MASS_COFACTOR,
            FLUORESCENCE_COFACTOR,
        )
