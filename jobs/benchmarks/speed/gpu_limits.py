"""Limits of a device: the bytes that it moves and the operations that it does, and the least that an event needs."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import monotonic

import torch

from neuronedit.network.autoencoder import Architecture, Autoencoder

from .event_files import N_MARKERS

N_COPIED, N_PRODUCT = 2**29, 8_192
"""Numbers that are copied, and rows and columns of the matrices that are multiplied: enough to fill the device."""

VALUE, ROW_NUMBER = 4, 8
"""Bytes of a float32, and of the int64 that says which event comes next."""


@dataclass(frozen=True)
class LeastWork:
    """The least that an event needs.

    Attributes:
        n_bytes: Bytes read from the device's memory and written to it: input and output. Activations between the
            layers could stay in the cache.
        n_flops: Operations of its matrix products, two for each weight that it meets.
    """

    n_bytes: int
    n_flops: int


@dataclass(frozen=True)
class Limits:
    """The limits of a device.

    Attributes:
        bytes_per_s: Bytes read and written per second, by a large copy.
        flops_per_s: Operations per second of a large matrix product, by precision; float32 without TF32.
    """

    bytes_per_s: float
    flops_per_s: dict[str, float]

    @classmethod
    def of(cls, device: torch.device, n_copied: int = N_COPIED, n_product: int = N_PRODUCT) -> "Limits":
        """Measure the limits of a device."""
        numbers = torch.rand(n_copied, device=device)
        copied = torch.empty_like(numbers)
        seconds = median_seconds(lambda: copied.copy_(numbers), device)
        rates = {}
        for precision in (torch.float32, torch.bfloat16):
            matrix = torch.rand(n_product, n_product, device=device).to(precision)
            rates[str(precision).removeprefix("torch.")] = (
                2 * n_product**3 / median_seconds(matrix.matmul, device, matrix)
            )
        return cls(2 * VALUE * n_copied / seconds, rates)

    def events_per_s(self, work: LeastWork, precision: str = "float32") -> float:
        """As many events as its memory can move and its arithmetic can take, whichever are fewer."""
        return min(self.bytes_per_s / work.n_bytes, self.flops_per_s[precision] / work.n_flops)


def edit_work(architecture: Architecture) -> LeastWork:
    """To edit an event's code: encoded once, decoded twice (the residual form)."""
    weights = _weights(architecture)
    depth = len(weights) // 2
    return LeastWork(2 * VALUE * N_MARKERS, 2 * (sum(weights[:depth]) + 2 * sum(weights[depth:])))


def training_work(architecture: Architecture) -> LeastWork:
    """To learn from an event: through all layers, and back once for the weights and once for the activations."""
    weights = _weights(architecture)
    return LeastWork(VALUE * N_MARKERS + ROW_NUMBER, 2 * (3 * sum(weights) - weights[0]))


def median_seconds(work: Callable[..., object], device: torch.device, *arguments: object, repeats: int = 5) -> float:
    """Measure the time of work on a device until it is done, after a first time that is not counted."""
    work(*arguments)
    seconds = []
    for _ in range(repeats):
        done = finished(device)
        work(*arguments)
        seconds.append(finished(device) - done)
    return median(seconds)


def finished(device: torch.device) -> float:
    """The clock, once a device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return monotonic()


def _weights(architecture: Architecture) -> list[int]:
    return [weight.numel() for weight in Autoencoder(N_MARKERS, architecture).parameters() if weight.ndim == 2]
