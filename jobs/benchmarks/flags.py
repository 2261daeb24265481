"""Which tasks an edit is flagged on before any truth is seen, over many draws of their events."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from neuronedit.scaling import fit_scaling
from neuronedit.support import Support

from .tasks import Populations, TransferTask, draw, load_cells


def measure_flags(tasks: Sequence[TransferTask], data: Path, n_events: int, n_seeds: int) -> pd.DataFrame:
    """A row for each task: transfers, flagged (the share of seeds), and the means of what the flag rests on.

    It rests on the support alone: no edit is fitted, and the truth is not read. Its columns: auroc and reach, see
    ``Extrapolation``.
    """
    cells = {dataset: load_cells(data, dataset) for dataset in sorted({task.dataset for task in tasks})}
    rows = []
    for task in tasks:
        for seed in range(n_seeds):
            populations, _ = draw(cells[task.dataset], task, n_events, seed)
            rows.append({"task": task.name, "transfers": task.transfers, **_judge(populations, task.cofactor, seed)})
    return pd.DataFrame(rows).groupby("task", sort=False).mean()


def _judge(populations: Populations, cofactor: float, seed: int) -> dict[str, float]:
    scaling = fit_scaling(vars(populations).values(), np.full(populations.source.shape[1], cofactor))
    source, target, events = (
        scaling.standardise(scaling.arcsinh(intensities)) for intensities in vars(populations).values()
    )
    found = Support.fit(source, target, seed).judge(events)
    return {"flagged": float(found.flagged), "auroc": found.auroc, "reach": found.reach}
