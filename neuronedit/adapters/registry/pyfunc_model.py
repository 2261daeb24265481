"""The model as an MLflow pyfunc: this file is stored with it (models from code), so nothing is pickled.

It needs neither Ray nor a file format's library: ``mlflow models predict`` and ``mlflow models serve`` run it.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import Model
from mlflow.pyfunc import PythonModel, PythonModelContext

from neuronedit.cells.events import check_finite
from neuronedit.errors import ModelError
from neuronedit.model.route import Route
from neuronedit.model.saved.files import contents_digest, model_contents, parse_model
from neuronedit.model.standing import DIGEST_TAG

ARTIFACT = "neuronedit"
"""The name of the folder with ``model.json`` and ``model.safetensors`` among the pyfunc's artifacts."""


class EditedEvents(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Edits the markers of a data frame; its other columns are handed on."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model from its artifacts.

        Raises:
            ModelError: The model cannot be loaded, or is not the one whose digest ``MLmodel`` beside it holds.
        """
        folder = Path(context.artifacts[ARTIFACT])
        contents = model_contents(folder)
        expected, found = _logged_digest(folder), contents_digest(contents)
        if expected != found:
            raise ModelError(
                f"{folder}: its files are not those that were logged: expected SHA-256 {expected or 'in MLmodel'}, "
                f"found {found}. Restore them in the artifact store, or use another version."
            )
        self.model = parse_model(contents, str(folder))

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


def _logged_digest(folder: Path) -> str | None:
    """The digest that the model was logged with, from the folder ``artifacts/neuronedit`` of the MLflow model."""
    logged = folder.parents[1]
    metadata = Model.load(str(logged)).metadata if (logged / "MLmodel").is_file() else None
    return (metadata or {}).get(DIGEST_TAG)


mlflow.models.set_model(EditedEvents())
