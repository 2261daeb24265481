"""The files in cluster/ are well-formed, agree with the lock file, and name nothing that is not there."""

import io
import json
import re
import zipfile
from itertools import chain
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
import yaml
from ray._private.runtime_env.packaging import create_package
from ray.autoscaler._private.util import prepare_config, validate_config

import neuronedit

PROJECT = Path(__file__).resolve().parents[1]
CLUSTER = PROJECT / "cluster"
RAY_JOBS = ("rayjob.yaml", "rayjob-transform.yaml")
REGISTRIES = re.compile(
    r"pypi\.|pythonhosted|pytorch\.org|docker\.io|ghcr\.|gcr\.io|quay\.io|amazonaws|azurecr|pkg\.dev|nvcr\.|https?://\S*simple"
)


def locked(package: str) -> str:
    lock = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
    (version,) = re.findall(rf"^{package}==(\S+)$", lock, re.MULTILINE)
    return str(version)


def read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CLUSTER / name).read_text(encoding="utf-8"))
    return document


def pods(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [job["spec"]["submitterPodTemplate"]["spec"], *(group["template"]["spec"] for group in groups)]


def containers(job: dict[str, Any]) -> list[dict[str, Any]]:
    return list(chain.from_iterable(pod["containers"] for pod in pods(job)))


def instructions(dockerfile: str) -> list[list[str]]:
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", dockerfile))
    return [line.split() for line in joined.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def dockerfile() -> list[list[str]]:
    return instructions((CLUSTER / "Dockerfile").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", RAY_JOBS)
def test_a_ray_job_names_the_locked_ray_version(name: str) -> None:
    job = read(name)
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == locked("ray")
    images = {container["image"] for container in containers(job)}
    assert images == {f"neuronedit:{neuronedit.__version__}-ray{locked('ray')}"}


@pytest.mark.parametrize("name", RAY_JOBS)
def test_a_ray_job_ends_and_takes_its_cluster_with_it(name: str) -> None:
    spec = read(name)["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["activeDeadlineSeconds"] > 0
    assert spec["backoffLimit"] == 2  # run again, either goes on where it was stopped


@pytest.mark.parametrize("name", RAY_JOBS)
def test_a_ray_job_is_let_in_by_token_and_keeps_work_off_the_head(name: str) -> None:
    cluster = read(name)["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (head,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    assert [variable["name"] for variable in head["env"]] == ["MLFLOW_TRACKING_URI"]


@pytest.mark.parametrize("name", RAY_JOBS)
def test_workers_have_whole_cpus_and_room_for_a_job_from_the_start(name: str) -> None:
    cluster = read(name)["spec"]["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"] is True
    for group in cluster["workerGroupSpecs"]:
        (worker,) = group["template"]["spec"]["containers"]
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert group["minReplicas"] * int(worker["resources"]["requests"]["cpu"]) >= 2
    for container in containers(read(name)):
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert container["resources"]["limits"]["cpu"].isdigit()


@pytest.mark.parametrize("name", RAY_JOBS)
def test_no_container_runs_as_root(name: str, dockerfile: list[list[str]]) -> None:
    users = [words[1] for words in dockerfile if words[0] == "USER"]
    for pod in pods(read(name)):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert [str(pod["securityContext"]["runAsUser"])] == users
    for container in containers(read(name)):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("name", RAY_JOBS)
def test_a_ray_job_calls_a_job_of_the_console_script(name: str) -> None:
    program, job, config, *_ = read(name)["spec"]["entrypoint"].split()
    assert (program, config) == ("neuronedit", f"/etc/neuronedit/{job}.toml")
    assert (PROJECT / "jobs" / f"{job}.py").is_file()


def test_the_ray_up_file_is_valid_for_the_installed_ray() -> None:
    config = read("ray-up.yaml")
    schema = Path(ray.autoscaler.__file__).with_name("ray-schema.json").read_text(encoding="utf-8")
    jsonschema.validate(config, json.loads(schema))
    prepared = prepare_config(config)
    validate_config(prepared)
    (node,) = prepared["available_node_types"].values()
    assert node["min_workers"] == node["max_workers"] == len(config["provider"]["worker_ips"])


def test_ray_up_copies_what_its_set_up_needs_and_nothing_else() -> None:
    config = read("ray-up.yaml")
    mounts = {remote: local for remote, local in config["file_mounts"].items() if not local.startswith("~")}
    assert all((PROJECT / local).exists() for local in mounts.values())
    assert all(remote == f"~/neuronedit/{local}" for remote, local in mounts.items())
    assert any("-r ~/neuronedit/requirements.lock" in command for command in config["setup_commands"])
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert "RAY_AUTH_MODE=token" in commands[-1]


def test_the_image_copies_what_exists_and_what_the_builder_is_given(dockerfile: list[list[str]]) -> None:
    copies = [words[1:] for words in dockerfile if words[0] == "COPY" and not words[1].startswith("--from")]
    sources = [source.rstrip("/") for copy in copies for source in copy[:-1]]
    ignore = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert [line for line in ignore if line.startswith("!")] == [f"!{source}" for source in sources]
    missing = [source for source in sources if not (PROJECT / source).exists()]
    assert not missing


def test_the_image_installs_the_lock_and_is_quiet(dockerfile: list[list[str]]) -> None:
    text = [" ".join(words) for words in dockerfile]
    assert any(line.startswith("RUN pip install") and line.endswith("-r requirements.lock") for line in text)
    assert text.index("RUN pip install --require-hashes --no-deps -r requirements.hashes") < next(
        number for number, line in enumerate(text) if line.endswith("-r requirements.lock")
    )
    assert "RUN pip install --no-deps ." in text
    bases = [line for line in text if line.startswith("FROM")]
    assert all("${PYTHON_IMAGE}${PYTHON_DIGEST:+@$PYTHON_DIGEST}" in line for line in bases)
    assert 'ARG TORCH_INDEX=""' in text
    final = " ".join(text[max(index for index, line in enumerate(text) if line.startswith("FROM")) :])
    assert "RAY_USAGE_STATS_ENABLED=0" in final
    assert "MLFLOW_DISABLE_TELEMETRY=true" in final
    known = {"ARG", "FROM", "RUN", "ENV", "WORKDIR", "COPY", "USER", "CMD"}
    assert {words[0] for words in dockerfile} <= known
    stages = [words[3] for words in dockerfile if words[0] == "FROM" and len(words) > 3]
    assert {words[1] for words in dockerfile if words[0] == "COPY" and words[1].startswith("--from")} == {
        f"--from={stage}" for stage in stages
    }


def test_every_locked_package_but_torch_is_known_by_its_files_hashes() -> None:
    lock = re.findall(r"(?m)^(\S+==\S+)$", (PROJECT / "requirements.lock").read_text(encoding="utf-8"))
    entries = re.sub(r"\\\n", "", (PROJECT / "requirements.hashes").read_text(encoding="utf-8")).splitlines()[1:]
    hashed = {entry.split()[0]: entry.split()[1:] for entry in entries}
    plain = {re.sub(r"[_.]", "-", name.split("==")[0]).lower() + name[name.index("==") :] for name in lock}
    assert {re.sub(r"[_.]", "-", name.split("==")[0]).lower() + name[name.index("==") :] for name in hashed} == (
        plain - {f"torch=={locked('torch')}"}
    )
    assert all(options for options in hashed.values())
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", option) for options in hashed.values() for option in options)


@pytest.mark.parametrize("switch", [True, False], ids=["with .gitignore", "without .gitignore"])
def test_an_upload_has_code_and_settings_but_no_data(switch: bool, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    kept = ["neuronedit/model.py", "jobs/train.py", "jobs/train.toml", "jobs/demo_panel.csv"]
    left = [".venv/bin/python", ".git/HEAD", "demo-output/cells/a.csv", "a.parquet", "cells/b.fcs", "mlflow.db"]
    left += ["tests/test_model.py", "cluster/README.md", "neuronedit/__pycache__/model.pyc"]
    for name in kept + left:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x", encoding="utf-8")
    for name in (".gitignore", ".rayignore"):
        (folder / name).write_bytes((PROJECT / name).read_bytes())
    create_package(str(folder), tmp_path / "upload.zip", include_gitignore=switch)
    archive = zipfile.ZipFile(io.BytesIO((tmp_path / "upload.zip").read_bytes()))
    files = {name for name in archive.namelist() if not name.endswith("/")}
    assert files == {*kept, ".gitignore", ".rayignore"}


def test_nothing_names_a_registry_or_an_index() -> None:
    files = [*CLUSTER.iterdir(), PROJECT / ".dockerignore", PROJECT / ".rayignore"]
    found = {file.name: REGISTRIES.findall(file.read_text(encoding="utf-8")) for file in files}
    assert not {name: hosts for name, hosts in found.items() if hosts}
