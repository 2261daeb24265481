"""What a user would write with MLflow alone: the model as a pyfunc, in a loop over files read and written by pandas."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from .event_files import MARKERS, intensities
from .measure import Cost, measured


def pandas_cost(model: Path, cells: Path, folder: Path) -> Cost:
    """Edit every file: read whole, ``predict``, written; on one thread, which is its best rate per CPU-second.

    Args:
        model: The model's folder.
        cells: The input's.
        folder: For the pyfunc and the output.
    """
    # Imported here: MLflow takes seconds to import, which each process of the benchmark would do.
    import mlflow

    from neuronedit.adapters import pyfunc_model

    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    markers = list(MARKERS)
    example = pd.DataFrame(intensities(5, np.random.default_rng(0)).astype(float), columns=markers)
    mlflow.pyfunc.save_model(
        folder / "pyfunc",
        python_model=pyfunc_model.__file__,
        artifacts={pyfunc_model.ARTIFACT: str(model)},
        signature=mlflow.models.infer_signature(example, example),
        pip_requirements=[],
    )
    loaded = mlflow.pyfunc.load_model(str(folder / "pyfunc"))
    loaded.predict(example)  # what is compiled on first use is
    with measured() as cost:
        for path in sorted(cells.iterdir()):
            frame = pd.read_parquet(path)
            frame[markers] = loaded.predict(frame[markers])
            frame.to_parquet(folder / f"looped-{path.name}", compression="snappy")
    return cost
