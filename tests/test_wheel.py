"""What is installed from a wheel is what the source folder has: tests and demo run from the source, and cannot tell."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]

FOLDERS = {"neuronedit": "neuronedit", "jobs": "neuronedit_jobs"}
"""By the source's folder, the name that it is installed by."""

LEFT_BEHIND = shutil.ignore_patterns("__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel, built from a copy of the source."""
    source = tmp_path_factory.mktemp("source")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=LEFT_BEHIND)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    return built_in(source)


def built_in(source: Path) -> Path:
    """The wheel that is built in a folder of source."""
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "-wout"]
    subprocess.run(command, cwd=source, capture_output=True, check=True, timeout=120)
    (built,) = (source / "out").glob("neuronedit-*.whl")
    return built


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as content:
        return {name: content.read(name) for name in content.namelist()}


def test_a_wheel_of_the_source_distribution_is_the_same(wheel, tmp_path):
    source = wheel.parents[1]
    script = "from setuptools import build_meta; print(build_meta.build_sdist('sdist'))"
    subprocess.run([sys.executable, "-c", script], cwd=source, capture_output=True, check=True, timeout=120)
    (archive,) = (source / "sdist").glob("neuronedit-*.tar.gz")
    shutil.unpack_archive(archive, tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    assert contents(built_in(unpacked)) == contents(wheel)


def test_version_citation_and_changelog_are_of_one_release(wheel):
    version = re.search(r"^version = \"(.+)\"$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert f"neuronedit-{version}-" in wheel.name
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    released = re.findall(r"^## \[(\d[^]]*)\] - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0][0] == version
    assert f"\ndate-released: {released[0][1]}\n" in (ROOT / "CITATION.cff").read_text()


DOWNSTREAM = """
import numpy as np
from neuronedit import EditModel, NeuronEdit, PairDesign, Panel, fit_model

def learn(before: np.ndarray, after: np.ndarray) -> EditModel:
    fitted = fit_model({"source": before, "target": after}, Panel(("CD4",), (5.0,)), PairDesign.of_arrays())
    return fitted.model

wrong: int = learn(np.zeros((9, 1)), np.ones((9, 1))).apply(np.zeros((9, 1)), "pair")
NeuronEdit(kind="other")
"""


@pytest.mark.bench
def test_types_reach_a_program_that_uses_the_wheel(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True, timeout=60)
    (packages,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    with ZipFile(wheel) as content:
        content.extractall(packages)
    for name in ("numpy", "pydantic", "pydantic_core", "typing_extensions.py"):
        (packages / name).symlink_to(Path(np.__file__).parents[1] / name)
    (tmp_path / "program.py").write_text(DOWNSTREAM)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--python-executable",
        str(tmp_path / "env" / "bin" / "python"),
        "program.py",
    ]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300).stdout
    told = [line.partition(": error: ")[::2] for line in said.splitlines() if ": error: " in line]
    assert [place for place, _ in told] == ["program.py:9", "program.py:10"], said
    assert "Incompatible types in assignment" in told[0][1]
    assert "incompatible type \"Literal['other']\"" in told[1][1].replace('"other"', "'other'"), said


FIRST_USE = """
import sys, numpy as np, neuronedit
cells = np.random.default_rng(0).lognormal(3.0, 0.5, (400, 3))
small = {"network": neuronedit.Architecture(hidden=(8,), code=2), "training": neuronedit.TrainingPlan(epochs=2)}
learned = neuronedit.NeuronEdit(**small).fit(cells, np.repeat(["no", "yes"], 200))
learned.transform(cells)
assert not {"ray", "mlflow", "pyarrow"} & set(sys.modules)
print(neuronedit.__version__)
"""


@pytest.mark.bench
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_estimator_works_where_the_wheel_alone_is_installed(wheel, python, tmp_path):
    """An empty environment: no Ray, no MLflow; torch is pinned, or its build for CUDA takes gigabytes."""
    interpreter = shutil.which(f"python{python}")
    # A name on the PATH may be a shim of a version that is not there.
    if interpreter is None or subprocess.run([interpreter, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"python{python} is not on the PATH, or does not run")
    torch = re.search(r"^torch==\S+$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)[0]
    subprocess.run([interpreter, "-m", "venv", tmp_path / "env"], check=True, timeout=120)
    own = tmp_path / "env" / "bin" / "python"
    subprocess.run([own, "-m", "pip", "install", "--quiet", torch, wheel], check=True, timeout=1200)
    done = subprocess.run(
        [own, "-c", FIRST_USE], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert f"neuronedit-{done.stdout.strip()}-" in wheel.name
    job = subprocess.run(
        [own, "-m", "neuronedit_jobs", "train"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert job.returncode == 2
    assert "pip install 'neuronedit[jobs]'" in job.stderr


def test_a_wheel_has_every_file_of_the_source(wheel):
    expected = {
        (Path(installed) / path.relative_to(ROOT / folder)).as_posix()
        for folder, installed in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with ZipFile(wheel) as content:
        assert expected - set(content.namelist()) == set()


def test_every_job_of_a_wheel_is_imported_without_the_source(wheel, tmp_path):
    with ZipFile(wheel) as content:
        content.extractall(tmp_path / "installed")
    script = (
        "import neuronedit, neuronedit_jobs.cli as cli\n"
        "print(neuronedit.__file__, cli.__file__)\n"
        "assert not any(cli.main([job, '--help']) for job in cli.JOBS)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    run = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[0].count(str(tmp_path)) == 2
