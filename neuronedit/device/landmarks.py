"""Kept events on a device, and which of them are nearest to others."""

import torch
from torch import Tensor

from neuronedit.autoencoder import tensor
from neuronedit.landmarks import FloatArray

ROWS = 4096
"""Events whose distances to all landmarks are held at once: 4,096 x 4,096 float64 are 134 MB."""


class DeviceLandmarks:
    """``Landmarks`` on a device.

    ‖x − y‖² = ‖x‖² + ‖y‖² − 2⟨x, y⟩ in float64, whose rounding is far below float32's: the nearest by one matrix
    product are the nearest, but for landmarks that float32, too, has at the same distance.
    """

    def __init__(self, events: FloatArray, device: torch.device) -> None:
        """Take (n_landmarks, n_neurons) float32 as landmarks."""
        landmarks = tensor(events).to(device).double()
        self._centre = landmarks.mean(dim=0)
        centred = landmarks - self._centre
        self._factors = -2 * centred.T.contiguous()
        self._squares = (centred**2).sum(dim=1)

    def nearest(self, events: Tensor, n_nearest: int) -> tuple[Tensor, Tensor]:
        """The nearest landmarks of each event, the nearest first.

        Args:
            events: (n_events, n_neurons) float32.
            n_nearest: At most the number of landmarks.

        Returns:
            (n_events, n_nearest) int64 numbers of landmarks, and their distances, float64.
        """
        parts = [self._nearest(part, n_nearest) for part in events.split(ROWS)]
        found, distances = (torch.cat(kind) for kind in zip(*parts, strict=True))
        return found, distances

    def _nearest(self, events: Tensor, n_nearest: int) -> tuple[Tensor, Tensor]:
        centred = events.double() - self._centre
        products = torch.addmm(self._squares, centred, self._factors)
        least, found = products.topk(n_nearest, dim=1, largest=False)
        squares = least + (centred**2).sum(dim=1, keepdim=True)
        return found, squares.clamp_(min=0).sqrt_()
