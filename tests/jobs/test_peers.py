import ast
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from neuronedit_jobs.benchmarks.accuracy import peers, run_peer
from neuronedit_jobs.benchmarks.accuracy.peers import (
    PEERS,
    PEERS_OF_MANY_EVENTS,
    SCRIPT,
    SEES_EVENTS,
    Environment,
    Peer,
    PeerError,
    PeerTask,
    install,
    measure_peers,
)
from neuronedit_jobs.benchmarks.accuracy.peers import run_peer as run
from neuronedit_jobs.benchmarks.accuracy.tasks import Populations

from tests.jobs.conftest import ROOT

pytestmark = pytest.mark.bench

FAKE = Peer("fake 1.0", "shift", Environment("fake", ("fake==1.0", "arithmetic==2.0")))

FAKE_SCRIPT = """
import pathlib, sys
import numpy as np
call, folder = sys.argv[1], pathlib.Path(sys.argv[2])
for path in folder.glob("*.in.npz"):
    name = path.name.removesuffix(".in.npz")
    with np.load(path) as task:
        seed, moved = int(task["seed"]), task["events"] + (task["target"].mean(0) - task["source"].mean(0))
    if seed == 1:
        (folder / f"{name}.failed.txt").write_text("Traceback\\nKeyError: 'cluster 7'\\n")
    elif seed == 2:
        np.savez(folder / f"{name}.out.npz", events=moved[1:])
    elif seed == 3:
        np.savez(folder / f"{name}.out.npz", events=moved * np.nan)
    elif seed != 4:
        np.savez(folder / f"{name}.out.npz", events=moved.astype(np.float32))
sys.exit("out of memory" if call == "dies" else 0)
"""


def peer_task(seed: int) -> PeerTask:
    source, other = (np.random.default_rng(number).random((50, 3), dtype=np.float32) for number in (1, 2))
    return PeerTask("A→B", Populations(source, source + np.float32([1, 0, -2]), other), seed)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "fake_peer.py"
    path.write_text(FAKE_SCRIPT)
    return path


def stamped(folder: Path, pins: tuple[str, ...]) -> Path:
    """An environment as if these pins had been installed, whose Python is the one that runs the tests."""
    python = folder / FAKE.environment.name / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    version = ".".join(map(str, sys.version_info[:3]))
    (folder / "fake" / "installed.txt").write_text("\n".join([f"python=={version}", *pins]))
    return python


# --- what a peer gives


def test_a_peers_events_come_back_by_task_and_name(tmp_path: Path, script: Path) -> None:
    stamped(tmp_path, FAKE.environment.pins)
    tasks = [peer_task(0), peer_task(5)]
    measured = measure_peers([FAKE], tasks, tmp_path, script)
    assert [list(predictions) for predictions in measured] == [["fake 1.0"], ["fake 1.0"]]
    for predictions, task in zip(measured, tasks, strict=True):
        moved = predictions["fake 1.0"]
        assert moved.dtype == np.float32
        np.testing.assert_allclose(moved, task.populations.events + np.float32([1, 0, -2]), atol=1e-6)  # float32 means


@pytest.mark.parametrize(
    ("seed", "call", "reason"),
    [
        (1, "shift", "KeyError: 'cluster 7'"),
        (2, "shift", "events of the shape (49, 3), finite: True; expected (50, 3)"),
        (3, "shift", "events of the shape (50, 3), finite: False; expected (50, 3)"),
        (4, "shift", "its process ended with 0: (nothing was written)"),
        (4, "dies", "its process ended with 1: out of memory"),
    ],
)
def test_a_peer_that_fails_gives_nan_for_that_task_alone_and_the_reason_is_logged(
    script: Path, caplog: pytest.LogCaptureFixture, seed: int, call: str, reason: str
) -> None:
    peer = Peer("fake 1.0", call, FAKE.environment)
    good, failed = run(peer, Path(sys.executable), [peer_task(0), peer_task(seed)], script)
    assert np.isfinite(good).all()
    assert failed.shape == (50, 3)
    assert np.isnan(failed).all()
    assert caplog.messages == [f"fake 1.0 gave nothing for A→B, seed {seed}: {reason}"]


def test_a_peer_that_takes_too_long_is_stopped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sleeps.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(peers, "TIMEOUT_S", 0.5)
    (given,) = run(FAKE, Path(sys.executable), [peer_task(0)], tmp_path / "sleeps.py")
    assert np.isnan(given).all()
    assert "it was stopped after 0.5 s" in caplog.text


# --- environments


def commands(monkeypatch: pytest.MonkeyPatch, failing: str = "") -> list[list[str]]:
    """The commands that are run, none for real; those with the word ``failing`` fail."""
    seen: list[list[str]] = []

    def fake_run(arguments: list[str], **_: object) -> SimpleNamespace:
        seen.append(arguments)
        if "venv" in arguments:
            Path(arguments[-1]).mkdir(parents=True, exist_ok=True)
        fails = bool(failing) and failing in arguments
        return SimpleNamespace(returncode=int(fails), stdout="fake==1.0\n", stderr="a\nno matching distribution\n")

    monkeypatch.setattr(subprocess, "run", fake_run)
    return seen


def test_an_environment_of_the_same_pins_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python, seen = stamped(tmp_path, FAKE.environment.pins), commands(monkeypatch)
    assert install(FAKE.environment, tmp_path) == python
    assert seen == []


def test_an_environment_is_made_once_with_exactly_its_pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = commands(monkeypatch)
    python = install(FAKE.environment, tmp_path)
    assert install(FAKE.environment, tmp_path) == python
    venv, pip, freeze = seen
    assert venv == [sys.executable, "-m", "venv", "--clear", str(tmp_path / "fake")]
    assert pip[0] == str(python)
    assert pip[-2:] == ["fake==1.0", "arithmetic==2.0"]
    assert freeze[-1] == "freeze"
    assert (tmp_path / "fake" / "packages.txt").read_text() == "fake==1.0\n"


def test_an_environment_of_other_pins_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamped(tmp_path, ("fake==0.9",))
    seen = commands(monkeypatch)
    install(FAKE.environment, tmp_path)
    assert "--clear" in seen[0]
    assert "fake==1.0" in (tmp_path / "fake" / "installed.txt").read_text()


def test_a_peer_that_cannot_be_installed_is_an_error_that_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands(monkeypatch, failing="install")
    told = r"^The environment 'fake' could not be made; (.|\n)*python -m pip \S+ install --quiet fake==1\.0 arithmetic"
    with pytest.raises(PeerError, match=told) as error:
        install(FAKE.environment, tmp_path)
    assert "found 1: no matching distribution\n" in str(error.value)
    assert not (tmp_path / "fake" / "installed.txt").exists()


# --- the peers


def test_every_peer_names_its_version_and_whether_it_sees_the_events() -> None:
    assert len({peer.name for peer in PEERS_OF_MANY_EVENTS}) == len(PEERS_OF_MANY_EVENTS)
    assert {peer.call for peer in PEERS_OF_MANY_EVENTS} == set(run_peer.CALLS)
    for peer in PEERS_OF_MANY_EVENTS:
        assert any(pin.partition("==")[2] in peer.name for pin in peer.environment.pins)
        assert (SEES_EVENTS in peer.name) == (peer.call in ("cycombine", "harmony", "combat"))


def test_no_peer_is_a_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = "\n".join([*project["dependencies"], *project["optional-dependencies"]["dev"]])
    needed += (ROOT / "requirements.lock").read_text()
    for name in (pin.partition("==")[0] for peer in PEERS for pin in peer.environment.pins):
        assert name not in needed.casefold()


def test_the_script_needs_nothing_but_numpy_to_start_and_nothing_of_ours() -> None:
    at_start = [node for node in ast.parse(SCRIPT.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {getattr(node, "module", "") or node.names[0].name for node in at_start}
    assert {name.partition(".")[0] for name in modules} - sys.stdlib_module_names == {"numpy"}
    assert "neuronedit." not in SCRIPT.read_text()


# --- the script


def save_task(folder: Path, name: str, seed: int) -> None:
    np.savez(folder / f"{name}.in.npz", seed=seed, **vars(peer_task(seed).populations))


def test_the_script_writes_events_or_the_reason_for_each_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(source: np.ndarray, target: np.ndarray, events: np.ndarray, seed: int) -> np.ndarray:
        if seed == 1:
            raise KeyError("cluster 7")
        return events.astype(np.float64) + seed

    monkeypatch.setitem(run_peer.CALLS, "combat", call)
    monkeypatch.setattr(sys, "argv", ["run_peer.py", "combat", str(tmp_path)])
    monkeypatch.setattr(run_peer.logging, "disable", lambda level: None)
    save_task(tmp_path, "0", 0)
    save_task(tmp_path, "1", 1)
    run_peer.main()
    with np.load(tmp_path / "0.out.npz") as arrays:
        assert arrays["events"].dtype == np.float32
        np.testing.assert_array_equal(arrays["events"], peer_task(0).populations.events)
    assert (tmp_path / "1.failed.txt").read_text().endswith("KeyError: 'cluster 7'\n")
    assert not (tmp_path / "1.out.npz").exists()


def test_what_harmony_took_from_the_target_is_given_back_to_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in takes 3 from cluster 0 and 5 from cluster 1 of the target's batch, and -1 of the other batch's."""
    source, target, events = (np.random.default_rng(number).normal(size=(40, 2)) for number in range(3))
    memberships = np.random.default_rng(3).dirichlet([1, 1], 120)

    def run_harmony(standardised: np.ndarray, labels: dict, key: str, **_: object) -> SimpleNamespace:
        taken = np.where(labels[key][:, None] == 1, memberships @ [[3], [5]], -1)
        return SimpleNamespace(Z_corr=standardised - taken, R=memberships)

    monkeypatch.setitem(sys.modules, "harmonypy", SimpleNamespace(run_harmony=run_harmony))
    moved = run_peer.harmony(source, target, events, seed=0)
    spreads = np.concatenate([source, target, events]).std(axis=0)
    np.testing.assert_allclose(moved, events + (1 + memberships[80:] @ [[3], [5]]) * spreads)
