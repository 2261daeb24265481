"""Editing on a GPU: the arithmetic alone, to and from the processor's memory, and the job from file to file."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from neuronedit.adapters.ray_session import GpuShare, RayConfig, ray_session
from neuronedit.design import PAIR_EDIT
from neuronedit.model import EditModel
from neuronedit.on_device import MINIBATCH

from .event_files import FileSet, intensities
from .gpu_limits import median_seconds
from .measure import Cost
from .ways import Work, ray_cost

EVENTS_AT_ONCE = 131_072
"""Events that a transform reads at once."""


def kernel_rate(model: EditModel, device: torch.device, n_minibatches: int) -> float:
    """Events per second from the device's memory to the device's memory, standardised as they come and go."""
    autoencoders = [autoencoder.to(device) for autoencoder in model.autoencoders]
    edit = model.edits[PAIR_EDIT]
    markers = torch.randn(n_minibatches * MINIBATCH, len(model.panel.markers), device=device)

    @torch.inference_mode()
    def edited() -> None:
        for minibatch in markers.split(MINIBATCH):
            edit.edit(autoencoders, minibatch)

    return len(markers) / median_seconds(edited, device)


def memory_rate(model: EditModel, device: torch.device, n_reads: int) -> float:
    """Events per second from the processor's memory to the processor's memory, raw intensities, one process."""
    on_device = model.to(str(device))
    raw = intensities(EVENTS_AT_ONCE, np.random.default_rng(0))

    def edited() -> None:
        for _ in range(n_reads):
            on_device.transform(raw, None)

    return n_reads * EVENTS_AT_ONCE / median_seconds(edited, device)


def write_files(folder: Path, n_events: int, n_files: int) -> None:
    """Files of as many events each, all the same one under as many names."""
    FileSet(n_events, 1).write(folder)
    first = next(folder.iterdir())
    for number in range(1, n_files):
        os.link(first, folder / f"{number:05}.parquet")


def job_cost(work: Work, short: Path, gpu: GpuShare | None) -> Cost:
    """What the whole input takes Ray's actors more than a shorter one, all of whose actors are at work in both.

    Args:
        work: What is to be done.
        short: The shorter input.
        gpu: What each actor has of a GPU; None for as many actors as there are cores, without.
    """
    with ray_session(RayConfig()):
        shorter = ray_cost(replace(work, cells=short), gpu=gpu)
        return ray_cost(work, gpu=gpu).less(shorter)
