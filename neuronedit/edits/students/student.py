"""A student: one curve for each marker and a small network, which together make the change of a whole edit.

An edit by neurons passes every event through several networks and many lookups. Its change is one smooth function of
the markers, and a function this small comes near it at a fraction of the cost (see ``distillation``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from torch import Tensor, nn

from neuronedit.arrays import Arrays, Float32s, compiled, pickled_fields
from neuronedit.errors import listing
from neuronedit.network.autoencoder import LEAKY_SLOPE, Tensors, tensor

Server = Literal["student", "teacher"]
"""Who makes an edit's change: a student, where there is one, or the members that it learned from."""

WIDTH = 64
"""Neurons of each of the network's two hidden layers."""

LAYERS = ("1", "2", "3")

BINS = (8, 12, 44)
"""Bins of a curve below the spread spike, within it, and above: evenly spaced in each, so that no knot is searched."""

N_BINS = sum(BINS)

BLOCK = 1024
"""Events that a student takes at once: they, and all that is made of them, stay in the processor's second cache."""


@dataclass(frozen=True)
class Student:
    """A change of standardised markers: a piecewise-linear curve of each marker by itself, plus a network of all.

    Events are clipped to the curves' range before either is evaluated, so that nothing is extrapolated.

    Attributes:
        edges: (4, n_markers) float32, ascending: where each marker's curve begins, where its spike begins and ends as
            ``Spikes`` spread it, and where the curve ends.
        values: (N_BINS + 1, n_markers) float32, the curves at the ends of their bins.
        weights: The network's weights and biases, by name: markers-64-64-markers, leaky ReLU.

    Example:
        >>> edges = np.float32([[-1], [-0.5], [0], [1]])
        >>> weights = {name: np.zeros(shape, np.float32) for name, shape in network_shapes(1).items()}
        >>> student = Student(edges, np.full((N_BINS + 1, 1), 2.0, np.float32), weights)
        >>> student.change(torch.tensor([[-9.0], [0.3]])).tolist()
        [[2.0], [2.0]]
    """

    edges: Float32s
    values: Float32s
    weights: Arrays

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Restore a student from its ``arrays``."""
        weights = {name: arrays[name] for name in network_shapes(arrays["edges"].shape[1])}
        return cls(arrays["edges"], arrays["values"], weights)

    def arrays(self) -> Arrays:
        """Give edges, curves and network by their names in a model's file."""
        return {"edges": self.edges, "values": self.values, **self.weights}

    def change(self, markers: Tensor) -> Tensor:
        """The change of each event: (n_events, n_markers) float32, standardised, zeros spread → the same shape."""
        if markers.is_cuda:
            return self._change_on_gpu(markers)
        change = torch.empty_like(markers, memory_format=torch.contiguous_format)
        columns, given, made = np.zeros((markers.shape[1], BLOCK), np.float32), markers.numpy(), change.numpy()
        for start in range(0, len(given), BLOCK):
            part = given[start : start + BLOCK]
            columns[:, : len(part)] = part.T
            made[start : start + BLOCK] = self.change_columns(columns)[:, : len(part)].T
        return change

    def change_columns(self, columns: Float32s) -> Float32s:
        """The change of a block, markers in rows: (n_markers, BLOCK) float32 → the same shape.

        A block is always full, so that an event's bits depend neither on the events beside it nor on its place.
        """
        prepared = self._prepared
        clipped, change = np.empty_like(columns), np.empty_like(columns)
        _add_curves(prepared.edges, prepared.scales, prepared.tables, columns, clipped, change)
        first, second = (np.empty((WIDTH, columns.shape[1]), np.float32) for _ in range(2))
        torch.mm(prepared.weights[0], tensor(clipped), out=tensor(first))
        _activate(first, prepared.biases[0])
        torch.mm(prepared.weights[1], tensor(first), out=tensor(second))
        _activate(second, prepared.biases[1])
        of_curves = tensor(change)
        torch.addmm(of_curves, prepared.weights[2], tensor(second), out=of_curves)
        return change

    def _change_on_gpu(self, markers: Tensor) -> Tensor:
        edges, scales, tables, *network = self._tensors.beside(markers)
        return curves_by_gather(edges, scales, tables, markers) + network_output(
            network, torch.minimum(torch.maximum(markers, edges[0]), edges[-1])
        )

    @cached_property
    def _prepared(self) -> "_Prepared":
        network = [self.weights[name] for name in network_shapes(self.edges.shape[1])]
        values = self.values + network[-1]  # the output's biases cost nothing there
        return _Prepared(
            np.ascontiguousarray(self.edges.T),
            np.ascontiguousarray(bin_scales(self.edges).T),
            _tables(values).reshape(len(values.T), -1),
            tuple(map(tensor, network[::2])),
            tuple(network[1::2]),
        )

    @cached_property
    def _tensors(self) -> Tensors:
        network = [self.weights[name] for name in network_shapes(self.edges.shape[1])]
        return Tensors(self.edges, bin_scales(self.edges), _tables(self.values), *network)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the fields alone: the receiver prepares tables and tensors itself."""
        return pickled_fields(self)


@dataclass(frozen=True)
class _Prepared:
    """A student as the processor's kernels take it, a marker's numbers beside one another.

    Attributes:
        edges: (n_markers, 4) float32.
        scales: (n_markers, 3) float32, bins per unit below, within and above the spike.
        tables: (n_markers, 2 (N_BINS + 1)) float32, at each knot the curve's value and its rise to the next.
        weights: The network's matrices.
        biases: The biases of its hidden layers, and of its output.
    """

    edges: Float32s
    scales: Float32s
    tables: Float32s
    weights: tuple[Tensor, ...]
    biases: tuple[Float32s, ...]


def served_sentence(servers: Mapping[str, Server]) -> str:
    """Say in one line which edits are served by whom.

    Args:
        servers: By the edits' names.

    Example:
        >>> served_sentence({"day1": "student", "day2": "teacher", "day4": "student"})
        "served by the student: 'day1', 'day4'; by the teacher: 'day2'"
    """
    by = {server: [name for name, found in servers.items() if found == server] for server in get_args(Server)}
    told = [f"by the {server}: {listing(names)}" for server, names in by.items() if names]
    return f"served {'; '.join(told)}" if told else ""


def network_shapes(n_markers: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a student's weights and biases, by name.

    Example:
        >>> network_shapes(40)["network.1.weight"], network_shapes(40)["network.3.bias"]
        ((64, 40), (40,))
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (n_in, n_out) in zip(LAYERS, pairwise((n_markers, WIDTH, WIDTH, n_markers)), strict=True):
        shapes |= {f"network.{name}.weight": (n_out, n_in), f"network.{name}.bias": (n_out,)}
    return shapes


def network_output(network: list[Tensor], markers: Tensor) -> Tensor:
    """Evaluate a student's network: (n_events, n_markers) → the same shape, float32.

    Args:
        network: Weights and biases in the order of ``network_shapes``.
        markers: (n_events, n_markers) float32, clipped to the curves' range.

    Example:
        >>> network = [torch.zeros(shape) for shape in network_shapes(2).values()]
        >>> bool(network_output(network, torch.ones(3, 2)).any())
        False
    """
    for weight, bias in zip(network[:-2:2], network[1:-2:2], strict=True):
        markers = nn.functional.leaky_relu(nn.functional.linear(markers, weight, bias), LEAKY_SLOPE)
    return nn.functional.linear(markers, network[-2], network[-1])


def bin_scales(edges: Float32s) -> Float32s:
    """Bins per unit of each marker below, within and above its spike: (4, n_markers) → (3, n_markers) float32.

    Example:
        >>> bin_scales(np.float32([[0], [1], [2], [4]])).ravel().tolist()
        [8.0, 12.0, 22.0]
    """
    return (np.array(BINS, np.float32)[:, None] / np.diff(edges, axis=0)).astype(np.float32)


def bin_places(edges: Float32s, values: Float32s) -> Float32s:
    """Each value's place on its marker's curve, in bins from its beginning: (n_events, n_markers) → the same shape.

    Example:
        >>> bin_places(np.float32([[0], [1], [2], [4]]), np.float32([[-1], [0.5], [1], [3], [9]])).ravel().tolist()
        [0.0, 4.0, 8.0, 42.0, 64.0]
    """
    scales = bin_scales(edges)
    parts = [
        (np.clip(values, low, high) - low) * scale for low, high, scale in zip(edges, edges[1:], scales, strict=False)
    ]
    return np.asarray(sum(parts), np.float32)


def curves_by_gather(edges: Tensor, scales: Tensor, tables: Tensor, markers: Tensor) -> Tensor:
    """Evaluate curves on a GPU: (n_events, n_markers) → the same shape, float32.

    Args:
        edges: (4, n_markers).
        scales: (3, n_markers), see ``bin_scales``.
        tables: (n_markers, N_BINS + 1, 2), at each knot the curve's value and its rise to the next.
        markers: (n_events, n_markers) float32.

    Example:
        >>> edges = torch.tensor([[0.0], [8.0], [20.0], [64.0]])
        >>> tables = torch.stack([torch.arange(65.0), torch.ones(65)], dim=1)[None]
        >>> curves_by_gather(edges, torch.ones(3, 1), tables, torch.tensor([[-1.0], [8.5], [30.0]])).ravel().tolist()
        [0.0, 8.5, 30.0]
    """
    places = torch.zeros_like(markers)
    for low, high, scale in zip(edges, edges[1:], scales, strict=False):
        places += (torch.minimum(torch.maximum(markers, low), high) - low) * scale
    numbers = places.int().long()
    found = tables[torch.arange(len(tables), device=markers.device), numbers]
    return found[..., 0] + found[..., 1] * (places - numbers)


def _tables(values: Float32s) -> Float32s:
    """Put beside each value at a knot the rise to the next: (n_knots, n_markers) → (n_markers, n_knots, 2)."""
    rises = np.diff(values, axis=0, append=values[-1:])
    return np.ascontiguousarray(np.stack([values, rises], axis=-1).swapaxes(0, 1))


@compiled
def _add_curves(
    edges: Float32s, scales: Float32s, tables: Float32s, columns: Float32s, clipped: Float32s, found: Float32s
) -> None:
    """Clip events, and look up their curves, (n_markers, n_events) all; see ``_Prepared`` for the others.

    Loops are split so that the first works on many events at once.
    """
    n_markers, n_events = columns.shape
    knots, parts = np.empty(n_events, np.uint32), np.empty(n_events, np.float32)
    for marker in range(n_markers):
        first, start, end, last = edges[marker, 0], edges[marker, 1], edges[marker, 2], edges[marker, 3]
        below, within, above = scales[marker, 0], scales[marker, 1], scales[marker, 2]
        for event in range(n_events):
            value = min(max(columns[marker, event], first), last)
            place = (min(value, start) - first) * below
            place += (min(max(value, start), end) - start) * within
            place += (max(value, end) - end) * above
            number = np.int32(place)
            clipped[marker, event] = value
            knots[event] = 2 * number
            parts[event] = place - np.float32(number)
        table, curve = tables[marker], found[marker]
        for event in range(n_events):
            knot = knots[event]
            curve[event] = table[knot] + table[knot + np.uint32(1)] * parts[event]


@compiled
def _activate(neurons: Float32s, biases: Float32s) -> None:
    """Add biases and apply leaky ReLU in place: (n_neurons, n_events)."""
    for neuron in range(neurons.shape[0]):
        for event in range(neurons.shape[1]):
            value = neurons[neuron, event] + biases[neuron]
            neurons[neuron, event] = max(value, value * np.float32(LEAKY_SLOPE))
