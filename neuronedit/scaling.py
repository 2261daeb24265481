"""From raw intensities to the standardised arcsinh scale that the autoencoder sees, and back."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuronedit.errors import DataError

FloatArray = npt.NDArray[np.floating]

MIN_SPREAD = 1e-3
"""A marker whose standard deviation is below this (arcsinh units) is constant; it is centred, not stretched."""


@dataclass(frozen=True)
class Scaling:
    """arcsinh(intensity / cofactor), then each marker to mean 0 and standard deviation 1.

    Attributes:
        cofactors: (n_markers,) float32, divides raw intensities.
        means: (n_markers,) float32, arcsinh units.
        spreads: (n_markers,) float32, standard deviations in arcsinh units, all positive.
    """

    cofactors: npt.NDArray[np.float32]
    means: npt.NDArray[np.float32]
    spreads: npt.NDArray[np.float32]

    @property
    def zeros(self) -> npt.NDArray[np.float32]:
        """(n_markers,) what zero intensity is when standardised: the same bits as a measured zero gets."""
        return self.standardise(np.zeros_like(self.means))

    def arcsinh(self, intensities: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Raw intensities (n_events, n_markers) → arcsinh units, float32."""
        return to_arcsinh(intensities, self.cofactors)

    def standardise(self, arcsinh: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Arcsinh units (n_events, n_markers) → standard deviations from the mean, float32."""
        return (arcsinh - self.means) / self.spreads

    def unstandardise(self, standardised: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Standard deviations from the mean (n_events, n_markers) → arcsinh units, float32."""
        return standardised * self.spreads + self.means

    def intensities(self, arcsinh: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Arcsinh units (n_events, n_markers) → raw intensities, float64."""
        return np.sinh(arcsinh.astype(np.float64)) * self.cofactors


def to_arcsinh(intensities: npt.ArrayLike, cofactors: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Raw intensities (n_events, n_markers), cofactors (n_markers,) → arcsinh units, float32."""
    return np.arcsinh(np.asarray(intensities, dtype=np.float32) / np.asarray(cofactors, dtype=np.float32))


def fit_scaling(populations: Iterable[FloatArray], cofactors: npt.ArrayLike) -> Scaling:
    """Mean and standard deviation of each marker, every population weighing the same whatever its size.

    Args:
        populations: Raw intensities, (n_events, n_markers) each.
        cofactors: (n_markers,).

    Raises:
        DataError: A value is not finite: one is enough to spoil a marker's mean, and every percentile.
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
        np.where(spreads < MIN_SPREAD, 1.0, spreads).astype(np.float32),
    )
