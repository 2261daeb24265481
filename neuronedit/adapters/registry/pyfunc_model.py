"""The model as an MLflow pyfunc: this file is stored with it (models from code), so nothing is pickled.

It needs neither Ray nor a file format's library: ``mlflow models predict`` and ``mlflow models serve`` run it.
"""

from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from neuronedit.cells.events import check_finite
from neuronedit.model.edit_model import Route
from neuronedit.model.files import load_model

ARTIFACT = "neuronedit"
"""The name of the folder with ``model.json`` and ``model.safetensors`` among the pyfunc's artifacts."""


class EditedEvents(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Edits the markers of a data frame; its other columns are handed on."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model from its artifacts."""
        self.model = load_model(context.artifacts[ARTIFACT])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Events with edited markers.

        Args:
            context: Unused.
            model_input: Raw intensities, one column per marker, and the batch column where the design has one.
            params: ``unknown_batch``: ``error`` (default) or ``pass``.

        Raises:
            PanelError: A marker is missing.
            DataError: An intensity is NaN or infinite.
            ModelError: A batch is unknown.
        """
        panel, column = self.model.panel, self.model.batch_column
        panel.check_columns(list(model_input.columns), "model input")
        intensities = model_input[list(panel.markers)].to_numpy(dtype=np.float64)
        check_finite(intensities, panel.markers, "model input")
        batch_ids = model_input[column].to_numpy() if column in model_input.columns else None
        route = Route(unknown_batch=(params or {}).get("unknown_batch", "error"))
        edited = self.model.transform(intensities, batch_ids, route, "model input").intensities
        return model_input.assign(**dict(zip(panel.markers, edited.T, strict=True)))


mlflow.models.set_model(EditedEvents())
