import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from mlflow.pyfunc import PyFuncModel

from neuronedit.adapters.registry.runs import TrackingConfig
from neuronedit.adapters.registry.versions import RegistryConfig, register_model
from neuronedit.model.edit_model import EditModel
from tests.fixtures import copied_store
from tests.synthetic_cells import MARKERS


@pytest.fixture(scope="module")
def events(cells_once: Path) -> pd.DataFrame:
    return pq.read_table(cells_once / "B-control.parquet").to_pandas().astype({"batch_id": str})[[*MARKERS, "batch_id"]]


@pytest.fixture(scope="module")
def store(
    migrated_store: Path, tmp_path_factory: pytest.TempPathFactory, controls_model: EditModel, events: pd.DataFrame
) -> TrackingConfig:
    """A store with the controls model as models:/cells/1."""
    config = copied_store(migrated_store, tmp_path_factory.mktemp("pyfunc"))
    with mlflow.start_run():
        register_model(controls_model, RegistryConfig(name="cells"), events[:5].astype(dict.fromkeys(MARKERS, float)))
    return config


@pytest.fixture(scope="module")
def pyfunc(store: TrackingConfig) -> PyFuncModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        return mlflow.pyfunc.load_model("models:/cells/1")


def test_it_loads_where_pickle_is_forbidden_and_edits_as_the_model_does(
    pyfunc: PyFuncModel, events: pd.DataFrame, controls_model: EditModel
) -> None:
    edited = pyfunc.predict(events)
    expected, _, _ = controls_model.transform(events[list(MARKERS)].to_numpy(np.float64), events["batch_id"])
    assert edited.columns.tolist() == events.columns.tolist()
    assert np.array_equal(edited[list(MARKERS)].to_numpy(), expected)
    assert edited["batch_id"].tolist() == events["batch_id"].tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_markers_of_any_number_type_are_accepted(pyfunc: PyFuncModel, events: pd.DataFrame, dtype: str) -> None:
    typed = events.astype(dict.fromkeys(MARKERS, dtype))
    as_double = typed.astype(dict.fromkeys(MARKERS, "float64"))
    pd.testing.assert_frame_equal(pyfunc.predict(typed), pyfunc.predict(as_double))


def test_a_numbered_batch_is_looked_up_by_its_number(pyfunc: PyFuncModel, events: pd.DataFrame) -> None:
    with pytest.raises(Exception, match=r"model input: 'batch_id' is '7', a batch that the model does not know"):
        pyfunc.predict(events.assign(batch_id=7))


def test_the_reference_is_returned_as_it_came(pyfunc: PyFuncModel, events: pd.DataFrame) -> None:
    reference = events.assign(batch_id="A").astype(dict.fromkeys(MARKERS, "float64"))
    pd.testing.assert_frame_equal(pyfunc.predict(reference), reference)


def test_a_missing_marker_is_refused(pyfunc: PyFuncModel, events: pd.DataFrame) -> None:
    with pytest.raises(mlflow.MlflowException, match="CD19"):
        pyfunc.predict(events.drop(columns="CD19"))


def test_nan_is_refused_with_marker_and_row(pyfunc: PyFuncModel, events: pd.DataFrame) -> None:
    spoilt = events.copy()
    spoilt.loc[3, "CD19"] = np.nan
    with pytest.raises(Exception, match=r"model input: marker 'CD19' has NaN in row 3 \(1 such events among 500\)"):
        pyfunc.predict(spoilt)


def test_an_unknown_batch_is_an_error_or_passes_when_asked(pyfunc: PyFuncModel, events: pd.DataFrame) -> None:
    stranger = events.assign(batch_id="Z").astype(dict.fromkeys(MARKERS, "float64"))
    with pytest.raises(Exception, match=r"model input: 'batch_id' is 'Z', a batch that the model does not know"):
        pyfunc.predict(stranger)
    pd.testing.assert_frame_equal(pyfunc.predict(stranger, params={"unknown_batch": "pass"}), stranger)


def test_it_runs_without_ray_and_without_this_source_tree(store: TrackingConfig, tmp_path: Path) -> None:
    script = (
        "import sys, mlflow\n"
        f"mlflow.set_tracking_uri({store.uri!r})\n"
        "model = mlflow.pyfunc.load_model('models:/cells/1')\n"
        "edited = model.predict(model.input_example)\n"
        "import neuronedit\n"
        "loaded = [name for name in ('ray', 'pyarrow.parquet') if name in sys.modules]\n"
        "print(len(edited), loaded, neuronedit.__file__)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    n_events, modules, source = done.stdout.strip().splitlines()[-1].split(" ", 2)
    assert (n_events, modules) == ("5", "[]")
    assert "artifacts" in source  # the copy that was logged with the model, not the one that is installed here
