"""The simple methods that an edit has to beat.

Each leads events along the change from source to target, on the arcsinh scale:
(n_source, n_markers), (n_target, n_markers), (n_events, n_markers) → (n_events, n_markers) float32.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from neuronedit.autoencoder import CODE, tensor
from neuronedit.distribution_matching import GAN_PLAN, MMD_PLAN, gan, mmd_resnet
from neuronedit.errors import DataError
from neuronedit.model import EditModel
from neuronedit.percentiles import PercentileShift, percentiles
from neuronedit.steps import activations

FloatArray = npt.NDArray[np.float32]

Baseline = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]

NO_EDIT = "no edit"
MEAN_SHIFT = "mean shift"
QUANTILE_MAP = "quantile map"
LATENT_MEAN = "latent mean"
CLUSTER_MAP = "cluster quantile map"
LINEAR_TRANSPORT = "linear transport"
MMD_RESNET = "MMD-ResNet"
GAN = "GAN"

N_CLUSTERS = 4

N_STARTS = 3
"""Searches for clusters, of which the tightest are kept."""

MIN_CLUSTER_EVENTS = 50
"""A cluster with fewer events, in the source or in the target, is moved by the quantile map of all events."""


def baselines(model: EditModel) -> dict[str, Baseline]:
    """Those that a review shows, by name: no time to speak of; the latent one uses the model's autoencoder."""
    return {
        NO_EDIT: no_edit,
        MEAN_SHIFT: mean_shift,
        QUANTILE_MAP: quantile_map,
        LATENT_MEAN: partial(latent_mean, model),
    }


def joint_baselines(seed: int) -> dict[str, Baseline]:
    """Those that move a marker by what the others say, by name: for benchmarks, a second at most."""
    return {CLUSTER_MAP: partial(cluster_map, seed=seed), LINEAR_TRANSPORT: linear_transport}


def network_baselines(seed: int) -> dict[str, Baseline]:
    """Networks trained to map source onto target, by name: for benchmarks, some ten seconds each."""
    return {
        MMD_RESNET: partial(mmd_resnet, plan=MMD_PLAN.model_copy(update={"seed": seed})),
        GAN: partial(gan, plan=GAN_PLAN.model_copy(update={"seed": seed})),
    }


def no_edit(source: FloatArray, target: FloatArray, events: FloatArray) -> FloatArray:
    """The events as they are."""
    return events


def mean_shift(source: FloatArray, target: FloatArray, events: FloatArray) -> FloatArray:
    """Add the difference of the means, marker by marker."""
    shift = target.mean(axis=0, dtype=np.float64) - source.mean(axis=0, dtype=np.float64)
    return (events + shift).astype(np.float32)


def quantile_map(source: FloatArray, target: FloatArray, events: FloatArray) -> FloatArray:
    """Lead the source's percentiles to the target's, marker by marker.

    The shift is interpolated between percentiles and constant beyond the first and the last.
    """
    return events + PercentileShift.fit(percentiles(source), percentiles(target), "linear").at(tensor(events)).numpy()


def latent_mean(model: EditModel, source: FloatArray, target: FloatArray, events: FloatArray) -> FloatArray:
    """Add the difference of the mean codes to every event's code, and decode.

    Source: Lotfollahi et al. 2019, Nature Methods 16 (scGen), whose idea this is, here in a plain autoencoder.
    """
    before, after, code = (
        activations(model.autoencoder, model.scaling.standardise(population), CODE)
        for population in (source, target, events)
    )
    moved = torch.from_numpy(code + (after.mean(axis=0) - before.mean(axis=0)))
    with torch.inference_mode():
        decoded: FloatArray = model.autoencoder.decode(moved, CODE).numpy()
    return model.scaling.unstandardise(decoded)


def cluster_map(
    source: FloatArray, target: FloatArray, events: FloatArray, n_clusters: int = N_CLUSTERS, seed: int = 0
) -> FloatArray:
    """A quantile map for each cluster of the pooled source and target, as they were measured: not aligned before.

    Source: Van Gassen et al. 2020, Cytometry A 97(3) (CytoNorm), whose idea this is, here with k-means.
    """
    # Imported here: who reviews a model, which imports this module, need not wait for it.
    from sklearn.cluster import KMeans

    pooled = np.concatenate([source, target])
    clusters = KMeans(n_clusters, n_init=N_STARTS, random_state=seed).fit(pooled)
    of_source, of_target, of_events = (clusters.predict(population) for population in (source, target, events))
    moved = quantile_map(source, target, events)
    for cluster in range(n_clusters):
        before, after = source[of_source == cluster], target[of_target == cluster]
        if min(len(before), len(after)) >= MIN_CLUSTER_EVENTS:
            chosen = of_events == cluster
            moved[chosen] = quantile_map(before, after, events[chosen])
    return moved


def linear_transport(source: FloatArray, target: FloatArray, events: FloatArray) -> FloatArray:
    """The affine map that carries a Gaussian with the source's mean and covariance to the target's at the least cost.

    Raises:
        DataError: The map is not finite.

    Source: Knott & Smith 1984, J. Optim. Theory Appl. 43; Peyré & Cuturi 2019, remark 2.31.
    """
    # Imported here: who reviews a model, which imports this module, need not wait for it.
    from ot.gaussian import empirical_bures_wasserstein_mapping

    try:
        matrix, offset = empirical_bures_wasserstein_mapping(source.astype(np.float64), target.astype(np.float64))
    except np.linalg.LinAlgError as error:
        raise _no_map(source, target) from error
    if not (np.isfinite(matrix).all() and np.isfinite(offset).all()):
        raise _no_map(source, target)
    return (events @ matrix + offset).astype(np.float32)


def _no_map(source: FloatArray, target: FloatArray) -> DataError:
    return DataError(
        f"{LINEAR_TRANSPORT}: the map from {len(source)} source to {len(target)} target events is not finite; "
        "expected a finite one. Look for events that are not finite."
    )
