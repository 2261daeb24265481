"""Information that binned activations hold about labels, and what chance alone would make of it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from neuronedit.percentiles import FloatArray

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def bin_numbers(activations: FloatArray, edges: Sequence[float]) -> Numbers:
    """Number the bin between percentiles that each activation lies in: (n_events, n_neurons) → the same, int64 from 0.

    Equal activations share a bin: the later one of those whose edge they are; so some bins may hold none.

    Args:
        activations: (n_events, n_neurons).
        edges: Percentiles, ascending from 0 to 100.
    """
    inner = np.percentile(activations, edges[1:-1], axis=0)
    columns = [
        np.searchsorted(bounds, values, side="right") for bounds, values in zip(inner.T, activations.T, strict=True)
    ]
    return np.stack(columns, axis=1)


def joint_counts(bins: Numbers, labels: Numbers, n_bins: int, n_labels: int) -> Numbers:
    """Events in each bin with each label: (n_events, n_neurons), (n_events,) → (n_neurons, n_bins, n_labels)."""
    size = n_bins * n_labels
    counts = [np.bincount(column * n_labels + labels, minlength=size) for column in bins.T]
    return np.stack(counts).reshape(-1, n_bins, n_labels)


def information_by_bin(counts: npt.NDArray[np.integer]) -> Floats:
    """Each bin's part of the mutual information, bits: (n_neurons, n_bins, n_labels) → (n_neurons, n_bins).

    The sum over bins is the mutual information of the counts as they are; few events raise it by chance.

    Source: DeWeese & Meister 1999, Network 10(4), equation 3 (specific surprise).
    """
    joint = counts / np.maximum(counts.sum(axis=(1, 2), keepdims=True), 1)
    independent = joint.sum(axis=2, keepdims=True) * joint.sum(axis=1, keepdims=True)
    ratios = np.divide(joint, independent, out=np.ones_like(joint), where=joint > 0)
    return np.asarray((joint * np.log2(ratios)).sum(axis=2))


def information(counts: npt.NDArray[np.integer]) -> Floats:
    """Mutual information of bins and labels, bits: (n_neurons, n_bins, n_labels) → (n_neurons,)."""
    return np.asarray(information_by_bin(counts).sum(axis=1))
