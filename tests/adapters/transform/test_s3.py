"""The transform job on S3: what it writes is what it writes to a local folder, whatever the storage does meanwhile."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient
from neuronedit_jobs import transform

from neuronedit.adapters.registry.runs import TrackingConfig
from neuronedit.adapters.transform.committed import Receipt
from neuronedit.model.edit_model import EditModel
from neuronedit.model.saved.files import save_model
from tests.adapters.transforming import here
from tests.fixtures import copied_store
from tests.s3_server import SECRET_KEY, Bucket, Fault, S3Server
from tests.synthetic_cells import sample_table

pytestmark = [pytest.mark.s3, pytest.mark.ray]

ROOT = Path(__file__).parents[3]
FILES = tuple(f"batch_id={name}.parquet" for name in ("A/control", "B/control", "B/patient 7", "C/p"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, controls_model: EditModel) -> Path:
    """Cells whose batch stands in their folders' names, and a model for them."""
    folder = tmp_path_factory.mktemp("s3")
    for number, name in enumerate(FILES):
        table = sample_table(name[9], "control", 400, seed=number + 1).drop_columns(["batch_id"])
        (folder / "cells" / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / "cells" / name, row_group_size=150)
    save_model(controls_model, folder / "model")
    return folder


@pytest.fixture(scope="module")
def store(migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> TrackingConfig:
    return copied_store(migrated_store, tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def expected(folder: Path, store: TrackingConfig, ray_cluster: None) -> dict[str, pa.Table]:
    """What the job writes to a local folder."""
    with one_worker():
        assert job(folder, store, str(folder / "cells"), str(folder / "edited")) == 0
    return {name: pq.read_table(folder / "edited" / name, partitioning=None) for name in FILES}


@contextmanager
def one_worker() -> Iterator[None]:
    """The job's work is done in this process."""

    def by_one(*arguments: Any) -> list[Receipt]:
        *others, _, _ = arguments
        return here(*others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transform, "transform_parts", by_one)
        yield


@pytest.fixture
def cells(s3: Bucket, folder: Path) -> Bucket:
    """A bucket with the cells in it."""
    s3.upload(folder / "cells", "cells")
    s3.server.inject()
    return s3


def arguments(folder: Path, store: TrackingConfig, data: str, output: str, *more: str) -> list[str]:
    settings = {"model": str(folder / "model"), "output": output, "data.path": data, "tracking.uri": store.uri}
    settings |= {"tracking.experiment": "tests", "ray.num_cpus": "2", "workers": "1"}
    return [part for name, value in settings.items() for part in ("--set", f"{name}={json.dumps(value)}")] + list(more)


def job(folder: Path, store: TrackingConfig, data: str, output: str, *more: str) -> int:
    return transform.main(arguments(folder, store, data, output, *more))


def edited(bucket: Bucket) -> dict[str, pa.Table]:
    """Every Parquet file below ``edited``, hidden ones too, but for what belongs to the job itself."""
    names = [key.removeprefix("edited/") for key in bucket.keys("edited") if not key.startswith("edited/_")]
    return {name: pq.read_table(pa.BufferReader(bucket.get(f"edited/{name}"))) for name in names}


def same(found: dict[str, pa.Table], expected: dict[str, pa.Table]) -> bool:
    return set(found) == set(expected) and all(found[name].equals(expected[name]) for name in expected)


FAULTS = {
    "every fifth request fails": [Fault("InternalError", every=5)],
    "bursts of SlowDown": [Fault("SlowDown", kinds=(kind,), times=4) for kind in ("GET", "PUT", "LIST", "COPY")],
    "slow answers": [Fault("", every=3, seconds=0.2)],
    "connections cut": [Fault("cut", kinds=("GET", "PUT"), every=4)],
}


@dataclass(frozen=True)
class Clean:
    """A run without faults: its bucket, what it said, and how many requests it made for the files of its output."""

    bucket: Bucket
    said: str
    counts: Mapping[str, int]


@pytest.fixture(scope="module")
def clean(s3_server: S3Server, folder: Path, store: TrackingConfig, expected: dict[str, pa.Table]) -> Clean:
    bucket = s3_server.make_bucket("clean-bucket")
    bucket.upload(folder / "cells", "cells")
    s3_server.inject()
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        assert job(folder, store, bucket.uri("cells"), bucket.uri("edited")) == 0
    return Clean(bucket, out.getvalue() + err.getvalue(), s3_server.counts("edited/batch_id="))


def test_output_on_s3_is_that_on_local_files(clean: Clean, expected: dict[str, pa.Table]) -> None:
    assert same(edited(clean.bucket), expected)
    assert json.loads(clean.bucket.get("edited/_manifest.json"))["events"] == 1600


def test_a_small_file_is_uploaded_at_once_and_moved_once(clean: Clean) -> None:
    assert (clean.counts["COPY"], clean.counts["CREATE_UPLOAD"]) == (len(FILES), 0)


def test_credentials_in_a_uri_are_not_logged_with_the_run(clean: Clean, store: TrackingConfig) -> None:
    client = MlflowClient(store.uri)
    runs = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    (run,) = (run for run in runs if clean.bucket.name in run.data.params["output"])
    assert run.data.params["output"].startswith(f"s3://***@{clean.bucket.name}/edited?")
    assert SECRET_KEY not in json.dumps(run.to_dictionary())
    assert SECRET_KEY not in json.dumps(json.loads(clean.bucket.get("edited/_manifest.json"))["config"])


def test_credentials_in_a_uri_are_neither_shown_nor_stored(clean: Clean) -> None:
    stored = b"".join(clean.bucket.get(key) for key in clean.bucket.keys("edited") if key.endswith(".json"))
    assert SECRET_KEY not in clean.said + stored.decode()


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_a_failing_storage_changes_nothing_in_the_output(
    cells: Bucket, folder: Path, store: TrackingConfig, expected: dict[str, pa.Table], faults: list[Fault]
) -> None:
    cells.server.inject(*faults)
    with one_worker():
        assert job(folder, store, cells.uri("cells"), cells.uri("edited")) == 0
    injected = sum(bool(fault) for _, _, fault in cells.server.requests())
    assert injected >= 10 or not faults[0].answer
    cells.server.inject()
    assert same(edited(cells), expected)


def test_an_object_that_cannot_be_written_is_named_and_resume_completes_the_output(
    cells: Bucket,
    folder: Path,
    store: TrackingConfig,
    expected: dict[str, pa.Table],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    cells.server.inject(Fault("InternalError", key=r"edited/batch_id=C/.*p\.parquet"))
    with one_worker():
        assert job(folder, store, cells.uri("cells"), cells.uri("edited")) == 2
    said = capsys.readouterr().err
    assert f"neuronedit transform: {cells.name}/edited/batch_id=C/" in said
    assert "p.parquet" in said
    assert SECRET_KEY not in said
    cells.server.inject()
    assert not [key for key in cells.keys("edited") if key.endswith("_manifest.json")]
    assert not [name for name in edited(cells) if name.startswith("batch_id=C")]
    with one_worker():
        assert job(folder, store, cells.uri("cells"), cells.uri("edited"), "--set", "resume=true") == 0
    assert same(edited(cells), expected)


def test_the_real_command_takes_endpoint_and_credentials_from_the_environment(
    cells: Bucket, folder: Path, store: TrackingConfig, expected: dict[str, pa.Table]
) -> None:
    environment = os.environ | cells.server.environment | {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
    environment.pop("RAY_ADDRESS", None)
    given = arguments(folder, store, f"s3://{cells.name}/cells", f"s3://{cells.name}/edited")
    done = subprocess.run(
        [sys.executable, "jobs/transform.py", *given],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"s3://{cells.name}/edited: 1,600 events in 4 files")
    assert done.stdout.count("\n") == 1
    assert same(edited(cells), expected)
