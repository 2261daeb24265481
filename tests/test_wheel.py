"""What is installed from a wheel is what the source folder has: tests and demo run from the source, and cannot tell."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

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
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "-wout"]
    subprocess.run(command, cwd=source, capture_output=True, check=True, timeout=120)
    (built,) = (source / "out").glob("neuronedit-*.whl")
    return built


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
