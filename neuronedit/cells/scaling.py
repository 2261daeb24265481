"""The scale that the autoencoder sees: raw intensities ↔ transformed units ↔ standard deviations from the mean."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuronedit.arrays import Float32s, Float64s, Floats
from neuronedit.errors import DataError

MIN_MARKER_SPREAD = 1e-3
"""A marker whose standard deviation (transformed units) is below this is constant; it is centred, not stretched."""


@dataclass(frozen=True)
class Scaling:
    """The transform arcsinh(intensity / cofactor), then each marker to mean 0 and standard deviation 1.

    Attributes:
        cofactors: (n_markers,) float32, divides raw intensities.
        means: (n_markers,) float32, transformed units.
        spreads: (n_markers,) float32, standard deviations in transformed units, all positive.

    Example:
        >>> scaling = fit_scaling([np.array([[0.0], [10.0]])], cofactors=[5.0])
        >>> scaling.standardise(scaling.arcsinh([[0.0], [10.0]])).round(3).tolist()
        [[-1.0], [1.0]]
    """

    cofactors: Float32s
    means: Float32s
    spreads: Float32s

    @property
    def zeros(self) -> Float32s:
        """Zero intensity when standardised, (n_markers,) float32: the same bits as a measured zero gets."""
        return self.standardise(np.zeros_like(self.means))

    def arcsinh(self, intensities: npt.ArrayLike) -> Float32s:
        """Transform raw intensities, (n_events, n_markers) → transformed units, float32."""
        return to_arcsinh(intensities, self.cofactors)

    def standardise(self, arcsinh: Float32s) -> Float32s:
        """Centre and stretch transformed units, (n_events, n_markers) → standard deviations from the mean, float32."""
        return (arcsinh - self.means) / self.spreads

    def unstandardise(self, standardised: Float32s) -> Float32s:
        """Undo ``standardise``: (n_events, n_markers) → transformed units, float32."""
        return standardised * self.spreads + self.means

    def intensities(self, arcsinh: Float32s) -> Float64s:
        """Undo the transform: (n_events, n_markers) in transformed units → raw intensities, float64."""
        return np.sinh(arcsinh.astype(np.float64)) * self.cofactors


def to_arcsinh(intensities: npt.ArrayLike, cofactors: npt.ArrayLike) -> Float32s:
    """Transform raw intensities, (n_events, n_markers), by cofactors, (n_markers,): arcsinh(intensity / cofactor).

    Returns:
        (n_events, n_markers) float32, transformed units.

    Example:
        >>> to_arcsinh(5 * np.sinh([[0.0, 2.0]]), [5.0, 5.0]).round(3).tolist()
        [[0.0, 2.0]]
    """
    return np.arcsinh(np.asarray(intensities, dtype=np.float32) / np.asarray(cofactors, dtype=np.float32))


def fit_scaling(populations: Iterable[Floats], cofactors: npt.ArrayLike) -> Scaling:
    """Fit each marker's mean and standard deviation, every population weighing the same whatever its size.

    Args:
        populations: Raw intensities, (n_events, n_markers) each.
        cofactors: (n_markers,).

    Raises:
        DataError: A value is not finite: one is enough to spoil a marker's mean, and every percentile.

    Example:
        >>> many, one = np.zeros((9, 1)), np.sinh([[1.0]])
        >>> fit_scaling([many, one], cofactors=[1.0]).means.round(3).tolist()
        [0.5]
    """
    divisors = np.asarray(cofactors, dtype=np.float32)
    scaled = [np.arcsinh(np.asarray(population, dtype=np.float64) / divisors) for population in populations]
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
        divisors,
        means.astype(np.float32),
        np.where(spreads < MIN_MARKER_SPREAD, 1.0, spreads).astype(np.float32),
    )
