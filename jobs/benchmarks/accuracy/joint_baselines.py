"""Simple methods that move a marker by what the others say; arrays are as in ``neuronedit.edits.baselines``."""

from functools import partial

import numpy as np
from sklearn.cluster import KMeans

from neuronedit.arrays import Float32s
from neuronedit.edits.baselines import Baseline, quantile_map
from neuronedit.errors import ConfigError, DataError

CLUSTER_MAP = "cluster quantile map"
LINEAR_TRANSPORT = "linear transport"

N_CLUSTERS = 4

N_STARTS = 3
"""Searches for clusters, of which the tightest are kept."""

MIN_CLUSTER_EVENTS = 50
"""A cluster with fewer events, in the source or in the target, is moved by the quantile map of all events."""


def joint_baselines(seed: int) -> dict[str, Baseline]:
    """All of them, by name: a second each at most."""
    return {CLUSTER_MAP: partial(cluster_map, seed=seed), LINEAR_TRANSPORT: linear_transport}


def cluster_map(
    source: Float32s, target: Float32s, events: Float32s, n_clusters: int = N_CLUSTERS, seed: int = 0
) -> Float32s:
    """A quantile map for each cluster of the pooled source and target, as they were measured: not aligned before.

    Source: Van Gassen et al. 2020, Cytometry A 97(3) (CytoNorm), whose idea this is, here with k-means.
    """
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


def linear_transport(source: Float32s, target: Float32s, events: Float32s) -> Float32s:
    """The affine map that carries a Gaussian with the source's mean and covariance to the target's at the least cost.

    Raises:
        ConfigError: POT is not installed.
        DataError: The map is not finite.

    Source: Knott & Smith 1984, J. Optim. Theory Appl. 43; Peyré & Cuturi 2019, remark 2.31.
    """
    # Imported here: only the extra ``benchmark`` installs it.
    try:
        from ot.gaussian import empirical_bures_wasserstein_mapping
    except ImportError as error:
        raise ConfigError(
            f"{LINEAR_TRANSPORT}: expected POT, found no module {error.name!r}. Install neuronedit[benchmark]."
        ) from error
    try:
        matrix, offset = empirical_bures_wasserstein_mapping(source.astype(np.float64), target.astype(np.float64))
    except np.linalg.LinAlgError as error:
        raise _no_map(source, target) from error
    if not (np.isfinite(matrix).all() and np.isfinite(offset).all()):
        raise _no_map(source, target)
    return (events @ matrix + offset).astype(np.float32)


def _no_map(source: Float32s, target: Float32s) -> DataError:
    return DataError(
        f"{LINEAR_TRANSPORT}: the map from {len(source)} source to {len(target)} target events is not finite; "
        "expected a finite one. Look for events that are not finite."
    )
