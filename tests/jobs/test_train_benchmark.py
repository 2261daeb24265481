import sys
from pathlib import Path

import numpy as np
import pytest
from neuronedit_jobs.benchmarks.accuracy.peers import PeerError
from neuronedit_jobs.benchmarks.speed import peer_speed as peer_fits
from neuronedit_jobs.benchmarks.speed.peer_speed import CYTONORM, CYTOVI, SHIFTED_CODE, Fit
from neuronedit_jobs.benchmarks.speed.train import (
    ONE_WORKER,
    PLAIN,
    TWO_BARE,
    TWO_WORKERS,
    Events,
    Row,
    Trained,
    bare_ddp,
    draw,
    draw_raw,
    figures,
    plain_loop,
)

from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan

pytestmark = pytest.mark.bench


def rows(ray_loss: float) -> dict[str, Row]:
    return {
        PLAIN: Row(1_000, Trained(10.0, 9.0, 0.5)),
        TWO_BARE: Row(1_000, Trained(6.0, 11.0, 0.5)),
        ONE_WORKER: Row(1_000, Trained(11.0, 10.0, ray_loss), 8.0),
        TWO_WORKERS: Row(1_000, Trained(8.0, 14.0, 0.5), 9.0),
    }


def test_the_figures_are_ratios_of_speed_and_what_starting_takes() -> None:
    assert figures(rows(0.505)) == pytest.approx(
        {
            "ray_over_plain": 0.9,
            "two_workers_over_bare_ddp": 0.75,
            "startup_s": 8.0,
            "loss_over_plain": 1.01,
            "time_to_as_accurate": 1.1,
        }
    )


def test_no_time_is_told_to_a_model_that_is_not_as_accurate() -> None:
    assert "time_to_as_accurate" not in figures(rows(0.52))


def test_other_tools_are_compared_by_events_per_cpu_second() -> None:
    peers = {CYTOVI: Row(200, Trained(10.0, 10.0, np.nan)), SHIFTED_CODE: Row(200, Trained(5.0, 5.0, np.nan))}
    found = figures(rows(0.505) | peers)
    assert found["over_scvi_tools"] == pytest.approx(100 / 20)
    assert found["over_scgen"] == pytest.approx(100 / 40)


@pytest.fixture
def no_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_fits, "install", lambda environment, folder: Path(sys.executable))


@pytest.mark.usefixtures("no_installation")
def test_other_tools_are_given_events_and_asked_for_seconds(tmp_path: Path) -> None:
    script = tmp_path / "fake.py"
    script.write_text(
        "import pathlib, sys\n"
        "import numpy as np\n"
        "given = np.load(pathlib.Path(sys.argv[-1]) / 'given.npz')\n"
        "print('epoch 2 of 2')\n"
        "print(len(given['source']) + len(given['target']) + len(sys.argv) / 10, -1)\n"
    )
    fits = peer_fits.peer_fits(draw_raw(100), tmp_path, script, script)
    assert fits == {CYTONORM: Fit(100.4, 100), CYTOVI: Fit(100.3, 200), SHIFTED_CODE: Fit(100.3, 200)}


@pytest.mark.usefixtures("no_installation")
def test_another_tool_that_fails_is_an_error_that_names_the_command(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text("print(1.0)")
    bad.write_text("raise SystemExit('no memory')")
    with pytest.raises(PeerError, match=r"bad\.py cytovi (.|\n)*ended with 1: no memory\. Leave out --peers"):
        peer_fits.peer_fits(draw_raw(100), tmp_path, bad, good)


def test_the_bare_loops_come_to_the_same_model() -> None:
    populations = draw(600)
    events = Events(*np.split(np.concatenate([*populations.values()]), [500]))
    plan, architecture = TrainingPlan(epochs=4, minibatch=100, learning_rate=1e-2), Architecture(hidden=(16,), code=8)
    alone, together = plain_loop(events, plan, architecture), bare_ddp(events, plan, architecture)
    assert together.loss == pytest.approx(alone.loss, rel=1e-5)  # sums in another order
    assert alone.loss < float(np.square(events.validation).mean())
