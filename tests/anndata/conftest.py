"""AnnData's own environment, of ``make test-anndata``: anndata asks for another pandas than the lock has."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neuronedit.model.example import MARKERS, example_cells, example_labels
from tests.fixtures import ray_cluster

__all__ = ["ray_cluster"]

HERE = Path(__file__).parent

collect_ignore = (
    [] if find_spec("anndata") else sorted({path.name for path in HERE.glob("test_*.py")} - {"test_env.py"})
)


@pytest.fixture
def adata():
    """800 events of two days in turn, raw; two variables beside the markers, which stand in another order."""
    from anndata import AnnData

    events = np.concatenate([example_cells(0), example_cells(1)])
    order = [MARKERS[2], "Time", MARKERS[0], MARKERS[1], "FSC-A"]
    frame = pd.DataFrame(events, columns=[*MARKERS])
    frame["Time"], frame["FSC-A"] = np.arange(800, dtype=np.float32), np.float32(60_000)
    labels = {name: np.concatenate([values, values]) for name, values in example_labels().items()}
    obs = pd.DataFrame({**labels, "batch_id": np.tile(["day1", "day2"], 400)}, index=[f"cell{n}" for n in range(800)])
    uns = {"meta": {"$CYT": "CyTOF", "spill": np.eye(2)}}
    return AnnData(frame[order].to_numpy(), obs=obs, var=pd.DataFrame(index=order), uns=uns)
