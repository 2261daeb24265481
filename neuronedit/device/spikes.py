"""The mass at exact zero on a device: the same ranks as on the processor."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuronedit.autoencoder import tensor
from neuronedit.spikes import WIDTH, Spikes

# ``spikes._ranks`` and ``events.mix``: torch has no arithmetic of uint64, but int64 has the same bits.


class DeviceSpikes:
    """``Spikes`` on a device."""

    def __init__(self, spikes: Spikes, device: torch.device) -> None:
        markers = np.arange(len(spikes.zeros), dtype=np.uint64)
        self._any = not np.isnan(spikes.zeros).all()
        self._zeros, self._thresholds = (tensor(array).to(device) for array in (spikes.zeros, spikes.thresholds))
        self._weights, self._starts = (
            tensor(_wrapped(numbers)).to(device)
            for numbers in (
                (2 * markers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15),
                markers * np.uint64(0xD1B54A32D192ED03),
            )
        )

    def spread(self, markers: Tensor) -> Tensor:
        """Events with their zeros spread below zero, each by its rank: (n_events, n_markers) → the same shape."""
        if not self._any:
            return markers
        return markers - WIDTH * torch.where(markers == self._zeros, self._ranks(markers), 0)

    def gather(self, edited: Tensor, spread: Tensor, markers: Tensor) -> Tensor:
        """Edited events with everything up to the thresholds at zero, and what was not moved as it was."""
        moved = torch.where(edited <= self._thresholds, self._zeros, edited)  # NaN is below nothing
        return torch.where(edited == spread, markers, moved)

    def _ranks(self, markers: Tensor) -> Tensor:
        """A number in [0, 1) for each value, from its event's bits: (n_events, n_markers) float32."""
        bits = markers.contiguous().view(torch.int32).long() & 0xFFFFFFFF
        state = (bits * self._weights).sum(dim=1, keepdim=True) + self._starts
        return _shifted(mix(state), 40).float() / 2**24


def mix(state: Tensor) -> Tensor:
    """``events.mix`` of int64 in the place of uint64."""
    state = (state ^ _shifted(state, 30)) * _FIRST
    state = (state ^ _shifted(state, 27)) * _SECOND
    return state ^ _shifted(state, 31)


def _wrapped(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    return numbers.view(np.int64)


_FIRST, _SECOND = _wrapped(np.array([0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)).tolist()


def _shifted(state: Tensor, n_bits: int) -> Tensor:
    """Shifted to the right as uint64 is: zeros come after."""
    return (state >> n_bits) & (2 ** (64 - n_bits) - 1)
