"""The simple things that an edit has to beat: each takes events from source to target on the arcsinh scale."""

import numpy as np
import numpy.typing as npt
import torch

from neuronedit.autoencoder import CODE
from neuronedit.edit import activations
from neuronedit.model import EditModel
from neuronedit.percentiles import PercentileShift, percentiles

FloatArray = npt.NDArray[np.float32]


def mean_shift(source: FloatArray, target: FloatArray, events: FloatArray) -> FloatArray:
    """Add the difference of the means, marker by marker: (n_events, n_markers), arcsinh units."""
    return events + (target.mean(axis=0) - source.mean(axis=0))


def quantile_map(source: FloatArray, target: FloatArray, events: FloatArray) -> FloatArray:
    """Lead the source's percentiles to the target's, marker by marker: (n_events, n_markers), arcsinh units.

    The shift is interpolated between percentiles and constant beyond them.
    """
    return events + PercentileShift.fit(percentiles(source), percentiles(target), "linear").at(events)


def latent_arithmetic(model: EditModel, source: FloatArray, target: FloatArray, events: FloatArray) -> FloatArray:
    """Add the difference of the mean codes, and decode: (n_events, n_markers), arcsinh units.

    Source: Lotfollahi et al. 2019 (scGen, Nature Methods 16), whose idea this is, in a plain autoencoder.
    """
    codes = [
        activations(model.autoencoder, model.scaling.standardise(population), CODE)
        for population in (source, target, events)
    ]
    moved = codes[2] + (codes[1].mean(axis=0) - codes[0].mean(axis=0))
    with torch.inference_mode():
        decoded: FloatArray = model.autoencoder.decode(torch.from_numpy(moved), CODE).numpy()
    return model.scaling.unstandardise(decoded)
