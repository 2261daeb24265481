"""Piecewise functions of neurons: an activation's place among the knots is found without a search through all."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuronedit.arrays import Float32s, compiled
from neuronedit.network.autoencoder import Tensors

N_BINS = 256
"""Bins spaced evenly over a neuron's knots. Each knows the knots below it: of 101, one or two are left to try."""

BLOCK = 1024
"""Events that one neuron after another is looked up for: they stay in the second cache, its table in the first."""

ASIDE = 16
"""Added to a block's rows: a power of two apart, all neurons' values would compete for the same places in the cache."""


class Tables(NamedTuple):
    """Functions of neurons, given by their knots.

    Attributes:
        knots: (n_tables, n_neurons, n_knots + padding) float32, ascending; infinite where padded.
        values: The same shape; a function's values at its knots.
        slopes: The same shape; a function's slope from a knot on: 0 in a step function, and from the last knot.
        last: (n_tables, n_neurons) float32, each function's last knot.
        bins: (n_tables, n_neurons, 2) float32, where the first bin starts, and bins per unit.
        starts: (n_tables, n_neurons, N_BINS) uint16, the last knot that is surely at or below a bin's activations.
        strides: (n_tables, n_neurons) uint16, a power of two: a bin has less than twice as many knots.
    """

    knots: Float32s
    values: Float32s
    slopes: Float32s
    last: Float32s
    bins: Float32s
    starts: npt.NDArray[np.uint16]
    strides: npt.NDArray[np.uint16]


class Lookup:
    """Piecewise functions of neurons, one or several for each, constant beyond the first and the last knot."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._tensors = Tensors(tables.knots, tables.values, tables.slopes, tables.last[..., None])

    @classmethod
    def from_knots(
        cls, knots: Sequence[Float32s], values: Sequence[Float32s], interpolation: Literal["step", "linear"]
    ) -> Self:
        """Make tables of functions, each given by ascending knots and its values there, (n_knots, n_neurons)."""
        columns = np.stack([np.ascontiguousarray(table.T) for table in knots]).astype(np.float32)
        heights = np.stack([np.ascontiguousarray(table.T) for table in values]).astype(np.float32)
        first, last = columns[..., :1], columns[..., -1:]
        with np.errstate(divide="ignore", over="ignore"):
            bins = np.concatenate([first, np.where(last > first, np.float32(N_BINS) / (last - first), 0)], axis=-1)
        starts, strides = _starts(columns, bins)
        padding = ((0, 0), (0, 0), (0, 2 * int(strides.max())))
        return cls(
            Tables(
                np.pad(columns, padding, constant_values=np.inf),
                np.pad(heights, padding),
                np.pad(_slopes(columns, heights, interpolation), padding),
                np.ascontiguousarray(last[..., 0]),
                bins,
                starts,
                strides,
            )
        )

    def value_at(self, activations: Tensor) -> Tensor:
        """Look up the first table's values: (n_events, n_neurons) → (n_events, n_neurons) float32."""
        return self.mean_at(activations, activations.new_ones((len(activations), 1)))

    def mean_at(self, activations: Tensor, shares: Tensor) -> Tensor:
        """Look up the mean of the tables' values, weighted by shares: (n_events, n_neurons) → the same shape, float32.

        Args:
            activations: (n_events, n_neurons) float32.
            shares: (n_events, n_tables) float32; on the processor, a table of share 0 is not looked up.
        """
        if activations.is_cuda:
            return mean_by_search(self._tensors.beside(activations), activations, shares)
        found = torch.zeros_like(activations, memory_format=torch.contiguous_format)
        _add_values(self._tables, activations.contiguous().numpy(), shares.contiguous().numpy(), found.numpy())
        return found


def mean_by_search(tables: tuple[Tensor, ...], activations: Tensor, shares: Tensor) -> Tensor:
    """Do what ``Lookup.mean_at`` does on a GPU: by a search through all knots, and the same arithmetic and bits.

    Args:
        tables: Knots, values, slopes, (n_tables, n_neurons, n_knots); and the last knots, (n_tables, n_neurons, 1).
        activations: (n_events, n_neurons) float32.
        shares: (n_events, n_tables) float32.

    Example:
        >>> knots, values, slopes = (torch.tensor([[row]]) for row in ([0.0, 1.0], [0.0, 2.0], [2.0, 0.0]))
        >>> tables = knots, values, slopes, knots[..., -1:]
        >>> mean_by_search(tables, torch.tensor([[0.5], [9.0]]), torch.ones(2, 1)).tolist()
        [[1.0], [2.0]]
    """
    columns = activations.T.contiguous()
    found = torch.zeros_like(columns)
    for share, knots, values, slopes, last in zip(shares.T, *tables, strict=True):
        within = torch.minimum(columns, last)
        places = (torch.searchsorted(knots, within, right=True) - 1).clamp_(min=0)
        # Below the first knot, nothing is added to its value.
        beyond = (within - knots.gather(1, places)).clamp_(min=0)
        found += share * (values.gather(1, places) + slopes.gather(1, places) * beyond)
    return found.T


def _slopes(knots: Float32s, values: Float32s, interpolation: str) -> Float32s:
    slopes = np.zeros_like(values)
    if interpolation == "linear":
        rise, run = (np.diff(array.astype(np.float64), axis=-1) for array in (values, knots))
        # Between equal knots there is nothing. A slope that float32 does not hold is used over less than 1e-38.
        most = np.finfo(np.float32).max
        slopes[..., :-1] = np.clip(np.divide(rise, run, out=np.zeros_like(rise), where=run > 0), -most, most)
    return slopes


def _starts(knots: Float32s, bins: Float32s) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    n_tables, n_neurons, n_knots = knots.shape
    starts = np.empty((n_tables, n_neurons, N_BINS), dtype=np.uint16)
    strides = np.empty((n_tables, n_neurons), dtype=np.uint16)
    numbers = np.empty(n_knots, dtype=np.uint32)
    for place in np.ndindex(n_tables, n_neurons):
        first, scale = bins[place]
        _bin(knots[place], first, scale, numbers)
        counts = np.bincount(numbers, minlength=N_BINS)
        starts[place] = np.maximum(np.cumsum(counts) - counts - 1, 0)
        strides[place] = 1 << (int(counts.max()).bit_length() - 1)
    return starts, strides


@compiled
def _bin(activations: Float32s, first: np.float32, scale: np.float32, numbers: npt.NDArray[np.uint32]) -> None:
    """Write the number of each activation's bin into ``numbers``: (n,) both."""
    for i in range(len(activations)):
        place = (activations[i] - first) * scale
        # What is no number is in the first bin: 0 times infinity, at the first of knots that nearly touch.
        numbers[i] = np.int32(min(place, np.float32(N_BINS - 1)) if place > 0 else np.float32(0))


@compiled
def _add_values(tables: Tables, activations: Float32s, shares: Float32s, found: Float32s) -> None:
    n_events, n_neurons = activations.shape
    column = np.empty((n_neurons, BLOCK + ASIDE), np.float32)
    rows = np.empty(BLOCK, np.int64)
    numbers = np.empty(BLOCK, np.uint32)
    for start in range(0, n_events, BLOCK):
        for table in range(shares.shape[1]):
            n_rows = 0
            for event in range(start, min(start + BLOCK, n_events)):
                rows[n_rows] = event
                n_rows += shares[event, table] > 0
            for row in range(n_rows):
                for neuron in range(n_neurons):
                    column[neuron, row] = activations[rows[row], neuron]
            for neuron in range(n_neurons):
                _look_up(tables, table, neuron, column[neuron, :n_rows], numbers[:n_rows])
            for row in range(n_rows):
                share = shares[rows[row], table]
                for neuron in range(n_neurons):
                    found[rows[row], neuron] += share * column[neuron, row]


@compiled
def _look_up(tables: Tables, table: int, neuron: int, activations: Float32s, numbers: npt.NDArray[np.uint32]) -> None:
    """Put a neuron's values in its activations' place: (n,); ``numbers``, (n,), is room to work in.

    Loops are split so that the first and the last work on many events at once, and no step waits for a search's end.
    """
    knots, starts = tables.knots[table, neuron], tables.starts[table, neuron]
    values, slopes = tables.values[table, neuron], tables.slopes[table, neuron]
    last = tables.last[table, neuron]
    for i in range(len(activations)):
        activations[i] = min(activations[i], last)
    _bin(activations, tables.bins[table, neuron, 0], tables.bins[table, neuron, 1], numbers)
    for i in range(len(activations)):
        numbers[i] = starts[numbers[i]]
    stride = np.uint32(tables.strides[table, neuron])
    while stride:
        for i in range(len(activations)):
            further = numbers[i] + stride
            numbers[i] = further if knots[further] <= activations[i] else numbers[i]
        stride >>= np.uint32(1)
    for i in range(len(activations)):
        knot = numbers[i]
        # Below the first knot, nothing is added to its value.
        activations[i] = values[knot] + slopes[knot] * max(activations[i] - knots[knot], np.float32(0))
