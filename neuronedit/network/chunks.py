"""Chunks: an edit passes over a few events as a whole before the next, so that they stay in the cache."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuronedit.arrays import Float32s
from neuronedit.network.autoencoder import Autoencoder, tensor

CHUNK = 2048
"""Events in a chunk: few enough to stay in the processor's cache."""

MIN_ROWS = 16
"""Rows to which a smaller chunk is filled up: a product of one to three rows sums in another order than one of many.

Measured with MKL: from this number on, an event's bits are the same in whatever row of however many, except if a layer
of at most ten neurons follows one whose number of neurons is not a multiple of four: then last bits differ.
"""


class Activations:
    """Networks' activations for one chunk of events, each computed once for all plans that edit the chunk.

    Attributes:
        markers: (n_events, n_markers) float32, standardised.
    """

    def __init__(self, markers: Tensor) -> None:
        self.markers = markers
        self._encoded: dict[tuple[Autoencoder, str], Tensor] = {}
        self._decoded: dict[tuple[Autoencoder, str], Tensor] = {}

    def at_layer(self, autoencoder: Autoencoder, layer: str) -> Tensor:
        """Activations of a layer, (n_events, n_neurons) float32; not to be written to."""
        key = autoencoder, layer
        if key not in self._encoded:
            self._encoded[key] = autoencoder.encode(self.markers, layer)
        return self._encoded[key]

    def last_hidden(self, autoencoder: Autoencoder, layer: str) -> Tensor:
        """Activations of the layer before the output, (n_events, n_neurons) float32, computed from a layer's."""
        key = autoencoder, layer
        if key not in self._decoded:
            self._decoded[key] = autoencoder.last_hidden(self.at_layer(autoencoder, layer), layer)
        return self._decoded[key]


@torch.inference_mode()
def in_chunks(edit: Callable[[Tensor], Tensor], markers: Float32s) -> Float32s:
    """Apply an event-wise function chunk by chunk: (n_events, n_markers) → the same shape.

    Example:
        >>> in_chunks(lambda chunk: chunk + 1, np.zeros((3, 1), np.float32)).tolist()
        [[1.0], [1.0], [1.0]]
    """
    edited = np.empty_like(markers)
    for part, events in filled_chunks(markers):
        edited[part] = edit(tensor(events))[: part.stop - part.start].numpy()
    return edited


def filled_chunks(events: npt.NDArray[Any], n_events: int | None = None) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    """Chunks of (n_events, n_markers), at least ``MIN_ROWS`` each: which events, and they, with zeros after them.

    So an event has the same bits in whatever chunk it is, see ``MIN_ROWS``.

    Args:
        events: (n_events, n_markers).
        n_events: In a chunk, ``CHUNK`` by default.

    Example:
        >>> [(part, len(chunk)) for part, chunk in filled_chunks(np.ones((40, 1)), n_events=30)]
        [(slice(0, 30, None), 30), (slice(30, 40, None), 16)]
    """
    size = n_events or CHUNK
    for start in range(0, len(events), size):
        part = slice(start, min(start + size, len(events)))
        chunk = np.ascontiguousarray(events[part])
        missing = MIN_ROWS - len(chunk)
        yield part, np.pad(chunk, ((0, missing), (0, 0))) if missing > 0 else chunk


def activations(autoencoder: Autoencoder, markers: Float32s, layer: str) -> Float32s:
    """Activations of a layer, in chunks: (n_events, n_markers) → (n_events, n_neurons) float32.

    Example:
        >>> from neuronedit.network.autoencoder import VISIBLE, Architecture
        >>> activations(Autoencoder(2, Architecture()), np.array([[0.5, -1.0]], np.float32), VISIBLE).tolist()
        [[0.5, -1.0]]
    """
    with torch.inference_mode():
        chunks = [autoencoder.encode(chunk, layer) for chunk in tensor(markers).split(CHUNK)]
        return np.asarray(torch.cat(chunks).numpy())


def reconstruction_errors(autoencoder: Autoencoder, events: Float32s) -> Float32s:
    """Mean squared error of the autoencoder's output: (n_events, n_markers) → (n_events,) float32.

    It sees events unlike those that the network was trained on, not that an edit extrapolates: events that were
    trained on with the source and the target are reconstructed well.

    Example:
        An untrained network, whose biases are 0, takes zeros to zeros:

        >>> from neuronedit.network.autoencoder import Architecture
        >>> reconstruction_errors(Autoencoder(2, Architecture()), np.zeros((3, 2), np.float32)).tolist()
        [0.0, 0.0, 0.0]
    """
    with torch.inference_mode():
        errors = [((autoencoder(chunk) - chunk) ** 2).mean(dim=1) for chunk in tensor(events).split(CHUNK)]
        return np.asarray(torch.cat(errors).numpy())
