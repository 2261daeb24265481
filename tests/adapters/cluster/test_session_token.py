"""Ray on this machine has a token, whether or not the home folder can keep one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neuronedit.adapters.cluster.session import _have_token


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set first, so that what the test sets is taken back.
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_a_home_that_cannot_be_written_needs_no_token_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    _have_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 32


def test_a_user_without_a_home_has_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    _have_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 32


def test_a_home_that_can_be_written_keeps_rays_own_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    _have_token()
    assert "RAY_AUTH_TOKEN" not in os.environ


@pytest.mark.ray
@pytest.mark.faults
def test_ray_starts_where_the_home_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    job = (
        "import ray; from neuronedit.adapters.cluster.session import RayConfig, ray_session\n"
        "with ray_session(RayConfig(num_cpus=1)): print(ray.get(ray.remote(lambda: 7).remote()))"
    )
    environment = {**os.environ, "HOME": str(tmp_path / "file"), "RAY_AUTH_MODE": "token"}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run([sys.executable, "-c", job], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["7"], done.stderr
