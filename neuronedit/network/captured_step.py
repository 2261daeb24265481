"""A step of training that is recorded once as a CUDA graph and replayed.

A small network's step is some hundred kernels of microseconds each: to launch them one by one takes longer than they
run. Measured by ``jobs/benchmark.py gpu``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3
"""First steps, launched kernel by kernel: libraries choose their kernels, and the optimiser makes its moments."""

Update = Callable[[Tensor, Tensor | None, int], Tensor]
"""A step (events, noise or None, events of the whole minibatch) → loss, () float32; arrays (n_events, n_markers)."""


class CapturedStep:
    """An update as one CUDA graph, for minibatches of the first one's shape; others are launched kernel by kernel.

    The update's inputs must stay in their place in the GPU's memory, and the update may not wait for the GPU.

    Args:
        update: The step to record.

    Source: "CUDA Graphs", in PyTorch's notes "CUDA semantics".
    """

    def __init__(self, update: Update) -> None:
        self._update = update
        self._warm_up = torch.cuda.Stream()
        self._n_steps = 0
        self._captured: _Captured | None = None

    def __call__(self, events: Tensor, noise: Tensor | None, size: int) -> Tensor:
        """Do one step.

        Args:
            events: (n_events, n_markers) float32, on the GPU.
            noise: (n_events, n_markers) float32, or None.
            size: Events of the whole minibatch, over all workers.

        Returns:
            () float32, the loss.
        """
        self._n_steps += 1
        if self._n_steps <= WARM_UP:
            return self._apart(events, noise, size)
        if not self._captured:
            self._captured = _Captured(self._update, events, noise, size)
        if not self._captured.fits(events, size):
            return self._update(events, noise, size)
        return self._captured.replay(events, noise)

    def _apart(self, events: Tensor, noise: Tensor | None, size: int) -> Tensor:
        """Do a step on a stream of its own, as CUDA demands of the steps before a capture."""
        current = torch.cuda.current_stream()
        self._warm_up.wait_stream(current)
        with torch.cuda.stream(self._warm_up):
            loss = self._update(events, noise, size)
        current.wait_stream(self._warm_up)
        return loss.clone()


class _Captured:
    """An update's recorded kernels, and the memory that they read and write."""

    def __init__(self, update: Update, events: Tensor, noise: Tensor | None, size: int) -> None:
        """Record the kernels without running any."""
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
