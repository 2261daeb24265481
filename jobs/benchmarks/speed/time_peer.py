"""CytoNormPy's timing in its own environment: ``python time_peer.py FORM N_CLUSTERS FOLDER``, without neuronedit.

FOLDER/given.npz has source, target and events: (n, n_markers) float32 raw intensities. The last line on stdout has the
processor's seconds on one thread of two steps: the fit to source and target (clusters, quantiles, splines), and
``normalize_data`` for all of them.
"""

import logging
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pandas as pd

EVENTS_PER_SAMPLE = 100_000

COFACTOR = 5.0


def in_memory(model: Any, samples: dict[str, Any], facts: pd.DataFrame, folder: Path) -> None:
    """Give the model events in memory, on the arcsinh scale: neither reading, writing nor scaling is timed."""
    from anndata import AnnData

    counts = [len(events) for events in samples.values()]
    annotations = facts.loc[np.repeat(facts.index, counts)].set_axis([str(row) for row in range(sum(counts))])
    cells = AnnData(np.arcsinh(np.concatenate([*samples.values()]) / COFACTOR), annotations)
    cells.layers["arcsinh"] = cells.X.copy()
    model.run_anndata_setup(cells, layer="arcsinh", channels="all")


def from_fcs_to_fcs(model: Any, samples: dict[str, Any], facts: pd.DataFrame, folder: Path) -> None:
    """Give the model FCS files, which it reads, scales, and writes again: what a user has, who has files."""
    import cytonormpy
    from flowio import create_fcs

    for name, events in samples.items():
        timed = np.column_stack([events, np.arange(len(events))])  # it cannot read a file without Time
        with (folder / name).open("wb") as file:
            create_fcs(file, timed.ravel(), [*(f"marker{number}" for number in range(events.shape[1])), "Time"])
    model.add_transformer(cytonormpy.AsinhTransformer(cofactors=COFACTOR))
    model.run_fcs_data_setup(facts, folder, channels="markers", truncate_max_range=False)


FORMS = {form.__name__: form for form in (in_memory, from_fcs_to_fcs)}


def seconds(form: str, n_clusters: int, folder: Path, given: Any) -> tuple[float, float]:
    """Measure the fit to source and target, and the transform of everything."""
    import cytonormpy

    events = given["events"]
    cuts = pairwise([*range(0, len(events), EVENTS_PER_SAMPLE), len(events)])
    of_events = {f"events{number}.fcs": events[first:stop] for number, (first, stop) in enumerate(cuts)}
    samples = {"source.fcs": given["source"], "target.fcs": given["target"], **of_events}
    facts = pd.DataFrame({"file_name": list(samples), "reference": "other", "batch": 0}, index=list(samples))
    facts.loc[["source.fcs", "target.fcs"], "reference"] = "ref"
    facts.loc["target.fcs", "batch"] = 1
    model = cytonormpy.CytoNorm()
    if n_clusters:
        model.add_clusterer(cytonormpy.FlowSOM(n_clusters=n_clusters, seed=0))
    FORMS[form](model, samples, facts, folder)
    started = process_time()
    if n_clusters:
        model.run_clustering(test_cluster_cv=False)
    model.calculate_quantiles()
    model.calculate_splines(goal=1)
    fitted = process_time()
    model.normalize_data(n_jobs=1)
    return fitted - started, process_time() - fitted


def main() -> None:
    """Print the seconds."""
    form, n_clusters, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with np.load(folder / "given.npz") as given:
        print(*seconds(form, n_clusters, folder, given))


if __name__ == "__main__":
    main()
