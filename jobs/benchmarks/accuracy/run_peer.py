"""A peer's run in an environment of its own: ``python run_peer.py CALL FOLDER``, without neuronedit and its packages.

For each ``FOLDER/NAME.in.npz`` (source, target, events: (n, n_markers) float32 arcsinh units; seed) it writes
``NAME.out.npz`` with the edited events, or ``NAME.failed.txt`` with the reason. Many tasks share a process, because
the peers' imports take longer than the peers do.
"""

import logging
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

CYTONORM_CLUSTERS = 5
"""Its default of 30, or 10, leaves clusters of these few events that exist in one batch only, which are not moved."""

MORE_CLUSTERS = (10, 20)
"""For tasks of many events."""

CYCOMBINE_GRID = 4
"""Its default of 8 leaves some hundred events to a node."""


def cytonormpy(source: Any, target: Any, events: Any, seed: int, n_clusters: int = CYTONORM_CLUSTERS) -> Any:
    """Quantile splines per FlowSOM cluster, from the source to the target as the goal."""
    import cytonormpy
    from anndata import AnnData

    samples = AnnData(np.concatenate([source, target, events]), _annotations(source, target, events))
    samples.layers["arcsinh"] = samples.X.copy()
    model = cytonormpy.CytoNorm()
    if n_clusters:
        model.add_clusterer(cytonormpy.FlowSOM(n_clusters=n_clusters, seed=seed))
    model.run_anndata_setup(
        samples, layer="arcsinh", channels="all", sample_identifier_column="sample", reference_value="control"
    )
    if n_clusters:
        model.run_clustering(test_cluster_cv=False)
    model.calculate_quantiles()
    model.calculate_splines(goal=1)
    model.normalize_data(n_jobs=1)
    return samples.layers["cyto_normalized"][-len(events) :]


def cytonormpy_unclustered(source: Any, target: Any, events: Any, seed: int) -> Any:
    """Run CytoNormPy as its authors advise if clusters differ between batches: quantile splines of all events."""
    return cytonormpy(source, target, events, seed, n_clusters=0)


def cycombine(source: Any, target: Any, events: Any, seed: int) -> Any:
    """ComBat per node of a self-organising map of ranked events; source and target are each other's anchor."""
    import cycombinepy
    from anndata import AnnData

    samples = AnnData(np.concatenate([source, target, events]).astype(float), _annotations(source, target, events))
    cycombinepy.batch_correct(
        samples,
        xdim=CYCOMBINE_GRID,
        ydim=CYCOMBINE_GRID,
        norm_method="rank",
        anchor="reference",
        ref_batch="1",
        seed=seed,
    )
    corrected = np.asarray(samples.layers["cycombine_corrected"])[-len(events) :]
    # A marker that is constant within a node has no variance to correct; R's ComBat leaves it, inmoose divides by it.
    return np.where(np.isfinite(corrected), corrected, events)


def harmony(source: Any, target: Any, events: Any, seed: int) -> Any:
    """Corrects both batches towards each other; what it took from the target is then given back to the events.

    It has no reference batch. Its correction is linear in the cells' memberships of clusters, and so is this.
    """
    import harmonypy

    pooled = np.concatenate([source, target, events]).astype(float)
    means, spreads = pooled.mean(axis=0), pooled.std(axis=0)
    spreads[spreads < 1e-3] = 1
    standardised = (pooled - means) / spreads
    labels = {"batch": _batch_ids(source, target, events)}
    # lamb: the ridge penalty that was its default until version 2, better here than the automatic one.
    found = harmonypy.run_harmony(standardised, labels, "batch", lamb=1, random_state=seed, ncores=1, verbose=False)
    corrected, memberships = np.asarray(found.Z_corr), np.asarray(found.R)
    of_target = slice(len(source), len(source) + len(target))
    taken = np.linalg.lstsq(memberships[of_target], (standardised - corrected)[of_target], rcond=None)[0]
    moved = corrected[-len(events) :] + memberships[-len(events) :] @ taken
    return moved * spreads + means


def combat(source: Any, target: Any, events: Any, seed: int) -> Any:
    """Mean and variance of each marker, the target's batch as reference, control or not as a covariate."""
    from inmoose.pycombat import pycombat_norm

    pooled = np.concatenate([source, target, events]).astype(float)
    to_edit = np.arange(len(pooled)) >= len(source) + len(target)
    batch_ids = _batch_ids(source, target, events)
    corrected = pycombat_norm(pooled.T, batch_ids, covar_mod=to_edit.astype(int)[:, None], ref_batch=1)
    return np.asarray(corrected).T[-len(events) :]


CALLS: dict[str, Callable[..., Any]] = {
    **{call.__name__: call for call in (cytonormpy, cytonormpy_unclustered, cycombine, harmony, combat)},
    **{f"cytonormpy_{number}": partial(cytonormpy, n_clusters=number) for number in MORE_CLUSTERS},
}


def main() -> None:
    """Edit the events of every task in the folder."""
    call, folder = CALLS[sys.argv[1]], Path(sys.argv[2])
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for path in sorted(folder.glob("*.in.npz")):
        name = path.name.removesuffix(".in.npz")
        try:
            with np.load(path) as task:
                edited = call(task["source"], task["target"], task["events"], int(task["seed"]))
            np.savez(folder / f"{name}.part.npz", events=np.asarray(edited, dtype=np.float32))
            (folder / f"{name}.part.npz").rename(folder / f"{name}.out.npz")  # complete or not there
        except Exception:  # whatever a peer raises is its result on this task
            (folder / f"{name}.failed.txt").write_text(traceback.format_exc(), encoding="utf-8")


def _batch_ids(source: Any, target: Any, events: Any) -> Any:
    """The batch of each event: 0 of source and events, 1 of the target."""
    return np.repeat([0, 1, 0], [len(source), len(target), len(events)])


def _annotations(source: Any, target: Any, events: Any) -> Any:
    import pandas as pd

    counts = [len(source), len(target), len(events)]
    columns = {
        "sample": np.repeat(["source", "target", "events"], counts),
        "batch": _batch_ids(source, target, events),
        "reference": np.repeat(["control", "control", "other"], counts),
    }
    return pd.DataFrame(columns, index=[str(number) for number in range(sum(counts))])


if __name__ == "__main__":
    main()
