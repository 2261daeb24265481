"""Copies between the processor's memory and a device's, made while the device computes."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Fetched(NamedTuple):
    """Tensors in the processor's memory, once what fills them is done.

    Attributes:
        tensors: As many as were asked for; None where there was none.
        filled: What to wait for; None where nothing is.
    """

    tensors: tuple[Tensor | None, ...]
    filled: torch.cuda.Event | None

    def wait(self) -> tuple[Tensor | None, ...]:
        """The tensors, filled."""
        if self.filled:
            self.filled.synchronize()
        return self.tensors


class Transfers:
    """Copies to and from a device.

    On CUDA, both ways have a stream of their own and pinned memory, which torch keeps and hands out again: the next
    events travel while the device computes on these.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda = device.type == "cuda"
        if self._cuda:
            self._there, self._back = torch.cuda.Stream(device), torch.cuda.Stream(device)

    def send(self, array: npt.NDArray[Any]) -> Tensor:
        """An array on the device, for what is computed there from now on; the array may be changed at once."""
        like = torch.from_numpy(np.empty(0, array.dtype))
        pinned = torch.empty(array.shape, dtype=like.dtype, pin_memory=self._cuda)
        pinned.numpy()[...] = array
        if not self._cuda:
            return pinned
        here = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._there):
            sent = pinned.to(self._device, non_blocking=True)
        here.wait_stream(self._there)
        sent.record_stream(here)  # its memory is not used anew before the computation is done
        return sent

    def fetch(self, *computed: Tensor | None) -> Fetched:
        """What was computed, on its way to the processor's memory."""
        if not self._cuda:
            return Fetched(computed, None)
        self._back.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._back):
            return Fetched(tuple(map(self._fetch, computed)), self._back.record_event())

    def _fetch(self, computed: Tensor | None) -> Tensor | None:
        if computed is None:
            return None
        pinned = torch.empty(computed.shape, dtype=computed.dtype, pin_memory=True)
        pinned.copy_(computed, non_blocking=True)
        computed.record_stream(self._back)
        return pinned
