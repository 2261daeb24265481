"""A step of training that a GPU is told once, and repeats.

A small network's step is some hundred kernels of microseconds each: telling the GPU of them, one by one, takes longer
than they do. Measured by ``jobs/benchmark.py gpu``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3
"""Steps that are computed one kernel at a time: libraries choose their kernels, and the optimiser makes its moments."""

Update = Callable[[Tensor, Tensor | None, int], Tensor]
"""Learns from events, (n_events, n_markers), and their noise, if any, in a minibatch of so many: gives its loss."""


class CapturedStep:
    """An update as one CUDA graph, for minibatches like the first; others are computed one kernel at a time.

    All that the update reads must stay in its place in the GPU's memory, and it may not wait for the GPU.

    Source: "CUDA Graphs", in PyTorch's notes "CUDA semantics".
    """

    def __init__(self, update: Update) -> None:
        self._update = update
        self._warm_up = torch.cuda.Stream()
        self._n_steps = 0
        self._captured: _Captured | None = None

    def __call__(self, events: Tensor, noise: Tensor | None, size: int) -> Tensor:
        """One step: gives the loss, () float32."""
        self._n_steps += 1
        if self._n_steps <= WARM_UP:
            return self._apart(events, noise, size)
        if not self._captured:
            self._captured = _Captured(self._update, events, noise, size)
        if not self._captured.fits(events, size):
            return self._update(events, noise, size)
        return self._captured.replay(events, noise)

    def _apart(self, events: Tensor, noise: Tensor | None, size: int) -> Tensor:
        """A step on another stream than usual, as capturing demands of those before it."""
        here = torch.cuda.current_stream()
        self._warm_up.wait_stream(here)
        with torch.cuda.stream(self._warm_up):
            loss = self._update(events, noise, size)
        here.wait_stream(self._warm_up)
        return loss.clone()


class _Captured:
    """The kernels of an update, and the places in memory that they read and write."""

    def __init__(self, update: Update, events: Tensor, noise: Tensor | None, size: int) -> None:
        """Note the kernels, without computing any."""
        self._events, self._noise = events.clone(), None if noise is None else noise.clone()
        self._size = size
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._loss = update(self._events, self._noise, size)

    def fits(self, events: Tensor, size: int) -> bool:
        return (events.shape, size) == (self._events.shape, self._size)

    def replay(self, events: Tensor, noise: Tensor | None) -> Tensor:
        self._events.copy_(events)
        if noise is not None and self._noise is not None:
            self._noise.copy_(noise)
        self._graph.replay()
        return self._loss.clone()  # the next step writes another there
