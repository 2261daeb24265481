"""What the operators have learned, on a device."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from neuronedit.autoencoder import tensor
from neuronedit.device.landmarks import DeviceLandmarks
from neuronedit.device.lookup import DeviceLookup
from neuronedit.mixture import LEAST_LOG_SHARE, Mixture
from neuronedit.neighbours import NeighbourShift
from neuronedit.percentiles import PercentileShift, Shift
from neuronedit.strata import StrataShift
from neuronedit.transport import TransportShift, network_output


class DeviceShift(Protocol):
    """``Shift`` on a device."""

    def at(self, activations: Tensor) -> Tensor:
        """The shift of each activation: (n_events, n_neurons) → (n_events, n_neurons) float32."""
        ...


def shift_on(device: torch.device, shift: Shift) -> DeviceShift:
    """A shift as tensors on a device."""
    match shift:
        case PercentileShift():
            return DeviceLookup(shift.lookup, device)
        case NeighbourShift():
            return DeviceNeighbours(shift, device)
        case StrataShift():
            return DeviceStrata(shift, device)
        case TransportShift():
            return DeviceTransport(shift, device)
    raise AssertionError(type(shift))


class DeviceNeighbours:
    """``NeighbourShift`` on a device."""

    def __init__(self, shift: NeighbourShift, device: torch.device) -> None:
        self._landmarks = DeviceLandmarks(shift.landmarks, device)
        self._shifts = tensor(shift.shifts).to(device)
        self._n_neighbours = shift.n_neighbours

    def at(self, activations: Tensor) -> Tensor:
        """The shift of each event: (n_events, n_neurons) → (n_events, n_neurons) float32."""
        nearest, _ = self._landmarks.nearest(activations, self._n_neighbours)
        return nn.functional.embedding_bag(nearest, self._shifts, mode="mean")


class DeviceStrata:
    """``StrataShift`` on a device."""

    def __init__(self, shift: StrataShift, device: torch.device) -> None:
        self._alignment = DeviceLookup(shift.alignment.lookup, device)
        self._mixture = DeviceMixture(shift.mixture, shift.reach, device)
        self._lookup = DeviceLookup(shift.lookup, device)

    def at(self, activations: Tensor) -> Tensor:
        """The shift of each activation: (n_events, n_neurons) → (n_events, n_neurons) float32."""
        aligned = activations + self._alignment.at(activations)
        return self._lookup.mean_at(activations, self._mixture.memberships(aligned))


class DeviceMixture:
    """``Mixture`` on a device, in float64 as there."""

    def __init__(self, mixture: Mixture, reach: float, device: torch.device) -> None:
        spreads = mixture.spreads.astype(np.float64)
        self._centres, self._densities, self._log_spreads, self._log_weights = (
            tensor(array).to(device, torch.float64)
            for array in (mixture.centres, 1 / spreads, mixture.log_spreads, mixture.log_weights)
        )
        self._reach = reach

    def memberships(self, events: Tensor) -> Tensor:
        """The components' shares in each event: (n_events, n_neurons) → (n_events, n_components) float32, sums 1."""
        distances = self._distances(events.double())
        flatness = (distances.amin(dim=1, keepdim=True) / self._reach).clamp_(min=1) ** 2
        log_shares = (-distances / 2 - self._log_spreads) / flatness + self._log_weights
        further = log_shares - log_shares.amax(dim=1, keepdim=True)
        shares = torch.where(further > LEAST_LOG_SHARE, further.exp(), 0)
        return (shares / shares.sum(dim=1, keepdim=True)).float()

    def _distances(self, events: Tensor) -> Tensor:
        # One component after another: all at once would be (n_events, n_components, n_neurons).
        components = zip(self._centres, self._densities, strict=True)
        return torch.stack([(((events - centre) * density) ** 2).sum(dim=1) for centre, density in components], dim=1)


class DeviceTransport:
    """``TransportShift`` on a device."""

    def __init__(self, shift: TransportShift, device: torch.device) -> None:
        self._drift, self._lowest, self._highest = (
            tensor(array).to(device) for array in (shift.drift, shift.lowest, shift.highest)
        )
        self._weights = {name: tensor(array).to(device) for name, array in shift.weights.items()}

    def at(self, activations: Tensor) -> Tensor:
        """The shift of each event: (n_events, n_neurons) → (n_events, n_neurons) float32."""
        return self._drift + network_output(self._weights, activations.clamp(self._lowest, self._highest))
