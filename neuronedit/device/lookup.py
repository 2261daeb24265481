"""Tables of piecewise functions on a device."""

import torch
from torch import Tensor

from neuronedit.autoencoder import tensor
from neuronedit.lookup import Lookup


class DeviceLookup:
    """``Lookup`` on a device; by the same arithmetic, so that a value has the same bits."""

    def __init__(self, lookup: Lookup, device: torch.device) -> None:
        self._knots, self._values, self._slopes = (
            tensor(array).to(device) for array in (lookup.knots, lookup.values, lookup.slopes)
        )
        self._last = tensor(lookup.last).to(device)[..., None]

    def at(self, activations: Tensor) -> Tensor:
        """The first table's values: (n_events, n_neurons) → (n_events, n_neurons) float32."""
        return self._look_up(0, activations.T.contiguous()).T

    def mean_at(self, activations: Tensor, shares: Tensor) -> Tensor:
        """The tables' values, each counting by its share: (n_events, n_neurons) → (n_events, n_neurons) float32.

        Args:
            activations: (n_events, n_neurons).
            shares: (n_events, n_tables).
        """
        columns = activations.T.contiguous()
        found = torch.zeros_like(columns)
        for table, share in enumerate(shares.T):
            found += share * self._look_up(table, columns)
        return found.T

    def _look_up(self, table: int, columns: Tensor) -> Tensor:
        """A table's values: (n_neurons, n_events) → the same shape."""
        knots = self._knots[table]
        columns = torch.minimum(columns, self._last[table])
        places = (torch.searchsorted(knots, columns, right=True) - 1).clamp_(min=0)
        # Below the first knot, nothing is added to its value.
        beyond = (columns - knots.gather(1, places)).clamp_(min=0)
        return self._values[table].gather(1, places) + self._slopes[table].gather(1, places) * beyond
