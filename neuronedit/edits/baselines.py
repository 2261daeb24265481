"""Baselines: the simple methods that an edit has to beat.

Each applies the change from source to target to events, in transformed units:
(n_source, n_markers), (n_target, n_markers), (n_events, n_markers) → (n_events, n_markers) float32.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from neuronedit.arrays import Float32s
from neuronedit.cells.scaling import Scaling
from neuronedit.edits.operators.percentiles import PercentileShift, percentiles
from neuronedit.network.autoencoder import CODE, Autoencoder, tensor
from neuronedit.network.chunks import activations

Baseline = Callable[[Float32s, Float32s, Float32s], Float32s]

NO_EDIT = "no edit"
MEAN_SHIFT = "mean shift"
QUANTILE_MAP = "quantile map"
LATENT_MEAN = "latent mean"


def baselines(autoencoder: Autoencoder, scaling: Scaling) -> dict[str, Baseline]:
    """Name the baselines that a review shows; all are fast, and the latent one uses the autoencoder and the scaling.

    Example:
        >>> from neuronedit.cells.transforms import Arcsinh
        >>> from neuronedit.network.autoencoder import Architecture
        >>> scaling = Scaling((Arcsinh(5.0),), np.zeros(1, np.float32), np.ones(1, np.float32))
        >>> list(baselines(Autoencoder(1, Architecture()), scaling))
        ['no edit', 'mean shift', 'quantile map', 'latent mean']
    """
    return {
        NO_EDIT: no_edit,
        MEAN_SHIFT: mean_shift,
        QUANTILE_MAP: quantile_map,
        LATENT_MEAN: partial(latent_mean, autoencoder, scaling),
    }


def no_edit(source: Float32s, target: Float32s, events: Float32s) -> Float32s:
    """Give the events as they are.

    Example:
        >>> no_edit(np.array([[0.0]]), np.array([[5.0]]), np.array([[10.0]])).tolist()
        [[10.0]]
    """
    return events


def mean_shift(source: Float32s, target: Float32s, events: Float32s) -> Float32s:
    """Add the difference of the means, marker by marker.

    Example:
        >>> mean_shift(np.array([[0.0], [2.0]]), np.array([[5.0]]), np.array([[10.0]])).tolist()
        [[14.0]]
    """
    shift = target.mean(axis=0, dtype=np.float64) - source.mean(axis=0, dtype=np.float64)
    return (events + shift).astype(np.float32)


def quantile_map(source: Float32s, target: Float32s, events: Float32s) -> Float32s:
    """Shift the source's percentiles to the target's, marker by marker.

    The shift is interpolated between percentiles and constant beyond the first and the last.

    Example:
        >>> source, target = np.array([[0.0], [1.0]], np.float32), np.array([[0.0], [3.0]], np.float32)
        >>> quantile_map(source, target, np.array([[0.5], [9.0]], np.float32)).tolist()
        [[1.5], [11.0]]
    """
    return (
        events
        + PercentileShift.fit(percentiles(source), percentiles(target), "linear").shift_at(tensor(events)).numpy()
    )


def latent_mean(
    autoencoder: Autoencoder, scaling: Scaling, source: Float32s, target: Float32s, events: Float32s
) -> Float32s:
    """Add the difference of the mean codes to every event's code, and decode.

    Source: Lotfollahi et al. 2019, Nature Methods 16 (scGen); here with a plain autoencoder.

    Example:
        >>> from neuronedit.cells.transforms import Arcsinh
        >>> from neuronedit.network.autoencoder import Architecture
        >>> scaling = Scaling((Arcsinh(5.0),), np.zeros(1, np.float32), np.ones(1, np.float32))
        >>> network, cells = Autoencoder(1, Architecture()), np.ones((3, 1), np.float32)
        >>> bool(np.allclose(latent_mean(network, scaling, cells, cells, cells), network(tensor(cells)).detach()))
        True
    """
    before, after, code = (
        activations(autoencoder, scaling.standardise(population), CODE) for population in (source, target, events)
    )
    moved = torch.from_numpy(code + (after.mean(axis=0) - before.mean(axis=0)))
    with torch.inference_mode():
        decoded: Float32s = autoencoder.decode(moved, CODE).numpy()
    return scaling.unstandardise(decoded)
