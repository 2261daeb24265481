"""What other programs read of FCS files, each in an environment of its own, and real files from packages of PyPI."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import numpy as np
import pytest
from neuronedit_jobs.benchmarks.accuracy.peers import Environment, install

HERE = Path(__file__).parent

# FlowKit needs NumPy 2, with which fcsparser 0.2.4 fails at big-endian files; fcsparser 0.2.8 needs NumPy 1.
ENVIRONMENTS = {
    name: Environment(name, tuple((HERE / f"{name}.txt").read_text().split())) for name in ("numpy1", "numpy2")
}

LIBRARIES = {
    "fcsparser 0.2.4": "numpy2",
    "fcsparser 0.2.8": "numpy1",
    "flowkit 1.3.2": "numpy2",
    "readfcs 2.1.1": "numpy2",
}
"""Other programs' readers, and the environment that each is installed in."""


class Found(NamedTuple):
    """What a library reads of a file: (n_events, n_channels) float32, $PnN, $PnS, and keywords as it spells them."""

    values: np.ndarray
    names: list[str]
    labels: list[str]
    keywords: dict[str, str]


@dataclass(frozen=True)
class Registry:
    """PyPI, and a folder that keeps what came from there from one run of the tests to the next."""

    folder: Path

    def package(self, requirement: str) -> ZipFile:
        """A package's wheel, which is not installed; the test is skipped where it cannot be had."""
        wheels, name = self.folder / "wheels", requirement.replace("==", "-")
        error = _download(requirement, wheels / name)
        if error:
            pytest.skip(f"{requirement} cannot be had from PyPI: {error}")
        return ZipFile(next((wheels / name).glob("*.whl")))

    def file(self, requirement: str, name: str, sha256: str) -> Path:
        """A file that a package carries, by its SHA-256."""
        target = self.folder / "files" / sha256 / Path(name).name
        if not target.exists():
            with self.package(requirement) as wheel:
                content = wheel.read(name)
            assert hashlib.sha256(content).hexdigest() == sha256, f"{requirement}: {name} is another file"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return target

    def read(self, library: str, files: Sequence[Path], folder: Path) -> list[Found | str]:
        """What a library reads of files, or its error for each that it cannot read."""
        package, environment = library.split()[0], ENVIRONMENTS[LIBRARIES[library]]
        self.package("fcsparser==0.2.8").close()  # told as a skip here, not as an environment that cannot be made
        python = install(environment, self.folder)
        folder = folder / library.replace(" ", "-")
        folder.mkdir()
        (folder / "files.json").write_text(json.dumps([str(file) for file in files]))
        command = [str(python), "-I", str(HERE / "read_files.py"), package, str(folder)]
        subprocess.run(command, check=True, timeout=600)
        return [_found(folder, number) for number in range(len(files))]


@cache
def _download(requirement: str, folder: Path) -> str:
    """Download a package unless it is there; why that failed, if it did."""
    if any(folder.glob("*.whl")):
        return ""
    options = ("--no-deps", "--only-binary", ":all:", "--retries", "1", "--timeout", "20", "--dest", str(folder))
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *options, requirement)
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def _found(folder: Path, number: int) -> Found | str:
    if (error := folder / f"{number}.txt").exists():
        return error.read_text("utf-8")
    with np.load(folder / f"{number}.npz") as arrays:
        return Found(arrays["values"], **json.loads(str(arrays["told"])))
