"""MLflow's real server dies while a job works: what the job has made stands, and is logged when the server is back."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from neuronedit_jobs import evaluate, train, transform, verify
from neuronedit_jobs import log as log_job

from neuronedit.model.edit_model import EditModel
from neuronedit.model.saved.files import save_model
from tests.fixtures import controls_model
from tests.jobs.mlflow_server import kill_server, server_process
from tests.jobs.story import Workplace
from tests.synthetic_cells import MARKERS

__all__ = ["controls_model"]

pytestmark = [pytest.mark.ray, pytest.mark.faults]

Server = tuple[str, Popen]


@pytest.fixture
def mortal(tmp_path: Path, migrated_store: Path) -> Iterator[Server]:
    """A server of this test's own."""
    (tmp_path / "server").mkdir()
    with server_process(tmp_path / "server", migrated_store) as started:
        yield started


def killing(process: Popen, step: Callable[..., Any]) -> Callable[..., Any]:
    """The same step of a job, at whose start the server is killed."""

    def killed(*arguments: Any, **settings: Any) -> Any:
        kill_server(process)
        return step(*arguments, **settings)

    return killed


def test_a_transform_ends_with_its_output_and_is_logged_later(
    mortal: Server,
    cells: Path,
    tmp_path: Path,
    controls_model: EditModel,
    ray_cluster: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address, process = mortal
    save_model(controls_model, tmp_path / "model")
    output = tmp_path / "edited"
    settings = [f"data.path={cells}", f"tracking.uri={address}", "ray.num_cpus=2"]
    options = [
        "--model",
        str(tmp_path / "model"),
        "--output",
        str(output),
        *(p for s in settings for p in ("--set", s)),
    ]
    monkeypatch.setattr(transform, "transform_parts", killing(process, transform.transform_parts))
    started = time.monotonic()
    assert transform.main(options) == 4
    assert time.monotonic() - started < 90
    said = capsys.readouterr()
    assert "2,500 events in 6 files" in said.out
    assert "Traceback" not in said.err
    (told,) = (line for line in said.err.splitlines() if "was not logged" in line)
    assert f"{output}: complete, but its run was not logged. MLflow at {address}: no answer, or refused (" in told
    assert told.endswith(f"run `neuronedit log {output}` when MLflow answers again.")
    assert verify.main([str(output)]) == 0
    assert log_job.main([str(output)]) == 2
    assert "Nothing was lost: try again, with --tracking-uri URI if MLflow is elsewhere now." in capsys.readouterr().err
    run_id = json.loads((output / "_manifest.json").read_text())["run"]
    with server_process(tmp_path / "server", port=int(address.rpartition(":")[2])):
        assert log_job.main([str(output)]) == 0
        assert capsys.readouterr().out == f"{output}: logged in run {run_id}.\n"
        assert log_job.main([str(output)]) == 0
        run = MlflowClient(address).get_run(run_id)
        assert run.info.status == "FINISHED"
        assert run.data.metrics["events/edited"] == 1600
        assert "quality/emd_after" in run.data.metrics
        assert len(run.inputs.dataset_inputs) == 1
    assert verify.main([str(output)]) == 0


def test_an_evaluation_ends_with_its_tables(
    mortal: Server,
    cells: Path,
    tmp_path: Path,
    ray_cluster: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address, process = mortal
    output = tmp_path / "evaluation"
    settings = [f"edited.path={cells}", f"truth.path={cells}", f"panel.markers={json.dumps(MARKERS)}"]
    settings += [f"tracking.uri={address}", "sample.events_per_population=250", "ray.num_cpus=2"]
    monkeypatch.setattr(evaluate, "evaluate", killing(process, evaluate.evaluate))
    assert evaluate.main(["--output", str(output), *(p for s in settings for p in ("--set", s))]) == 4
    said = capsys.readouterr()
    assert f"The tables: {output}" in said.out
    assert said.err.count("was not logged") == 1
    assert {"scores.csv", "_evaluate.json", "_unlogged.json"} <= {path.name for path in output.iterdir()}
    with server_process(tmp_path / "server", port=int(address.rpartition(":")[2])):
        assert log_job.main([str(output)]) == 0


def test_training_registers_nothing_keeps_its_weights_and_goes_on(
    mortal: Server,
    cells: Path,
    tmp_path: Path,
    ray_cluster: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address, process = mortal
    place = Workplace.make(tmp_path, cells, address)
    with monkeypatch.context() as patch:
        patch.setattr(train, "register_model", killing(process, train.register_model))
        assert train.main([place.train]) == 2
    said = capsys.readouterr()
    assert (said.out, "Traceback" in said.err) == ("", False)
    assert f"neuronedit train: MLflow at {address}: no answer, or refused (" in said.err
    assert said.err.rstrip().endswith(
        "Nothing was registered; weights that were trained are kept, and the same command goes on."
    )
    with server_process(tmp_path / "server", port=int(address.rpartition(":")[2])):
        assert train.main([place.train]) == 0
        said = capsys.readouterr()
        assert said.out.startswith("models:/cells/1: 2 edit(s) of 6 markers")
        assert "weights" in said.err, "that they were trained before is told"
