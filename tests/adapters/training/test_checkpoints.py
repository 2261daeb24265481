"""Checkpoints in a folder: whole or absent, and the newest sound one is found."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from neuronedit.adapters.files.storage import locate
from neuronedit.adapters.training.checkpoints import Checkpoints, run_digest
from neuronedit.errors import StorageError
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.state import EpochLosses, TrainingState
from tests.adapters.trainers import flip_byte
from tests.disasters import small_disk


def state_after(epochs: int, n_weights: int = 4) -> TrainingState:
    history = tuple(EpochLosses(epoch, 1.0 / epoch, 2.0 / epoch) for epoch in range(1, epochs + 1))
    return TrainingState("plan", history, {"w": torch.full((n_weights,), float(epochs))}, {}, {})


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    """Three are there: after 2, 4 and 6 epochs."""
    found = Checkpoints(locate(str(tmp_path / "run")))
    for epochs in (2, 4, 6):
        found.write(state_after(epochs), keep=3)
    return found


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in Path(checkpoints.folder.path).iterdir())


def test_the_newest_is_found_as_it_was_written(checkpoints: Checkpoints) -> None:
    found = checkpoints.newest()
    assert found.problems == ()
    assert found.state is not None
    assert found.state.history == state_after(6).history
    assert torch.equal(found.state.weights["w"], state_after(6).weights["w"])
    assert checkpoints.read(4).epoch == 4


def test_where_there_is_none_nothing_is_found_and_nothing_is_wrong(tmp_path: Path) -> None:
    found = Checkpoints(locate(str(tmp_path / "never written"))).newest()
    assert (found.state, found.problems) == (None, ())


def test_so_many_are_kept(checkpoints: Checkpoints) -> None:
    checkpoints.write(state_after(8), keep=2)
    assert names(checkpoints) == ["epoch-000006", "epoch-000008"]


def truncate(folder: Path) -> None:
    path = folder / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-5])


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (truncate, r"epoch-000006/state\.safetensors: damaged; expected the SHA-256 "),
    "a byte flipped": (
        lambda folder: flip_byte(folder / "state.safetensors"),
        r"epoch-000006/state\.safetensors: damaged; expected the SHA-256 ",
    ),
    "facts missing": (
        lambda folder: (folder / "state.json").unlink(),
        r"epoch-000006: not a state of training; expected .*, found no state\.json\.",
    ),
    "arrays missing": (
        lambda folder: (folder / "state.safetensors").unlink(),
        r"epoch-000006: not a state of training; expected .*, found no state\.safetensors\.",
    ),
    "facts of no JSON": (
        lambda folder: (folder / "state.json").write_text("{"),
        r"epoch-000006/state\.json: damaged; expected valid JSON",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_both_are_named(
    checkpoints: Checkpoints, damage: str
) -> None:
    act, message = DAMAGE[damage]
    act(Path(checkpoints.folder.path) / "epoch-000006")
    found = checkpoints.newest()
    assert found.state is not None
    assert found.state.epoch == 4
    (problem,) = found.problems
    assert re.search(message, problem), problem
    assert problem.endswith("Instead, training goes on from epoch-000004.")
    assert checkpoints.newest().problems == (), "told once: the damaged one is removed"


def test_where_all_are_damaged_training_starts_from_zero_and_says_so(checkpoints: Checkpoints) -> None:
    for folder in Path(checkpoints.folder.path).iterdir():
        flip_byte(folder / "state.safetensors")
    found = checkpoints.newest()
    assert found.state is None
    assert len(found.problems) == 3
    assert all(problem.endswith("None is left: training starts from zero.") for problem in found.problems)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Room for one checkpoint, not for two."""
    with small_disk(tmp_path / "disk", kilobytes=64) as folder:
        yield folder


def test_a_full_disk_is_told_and_costs_no_earlier_checkpoint(disk: Path) -> None:
    checkpoints = Checkpoints(locate(str(disk / "run")))
    checkpoints.write(state_after(2, n_weights=8_000), keep=2)
    with pytest.raises(
        StorageError,
        match=r"^The checkpoint after epoch 4 cannot be written; earlier ones are as they were\. .*: no room is left "
        r"\(.*\)\. Make room\. Then run the same command again: it goes on from the last one\.$",
    ):
        checkpoints.write(state_after(4, n_weights=8_000), keep=2)
    assert names(checkpoints) == ["epoch-000002"]
    found = checkpoints.newest()
    assert found.state is not None
    assert (found.state.epoch, found.problems) == (2, ())


POPULATIONS = {"A": np.ones((4, 2), np.float32), "B": np.zeros((3, 2), np.float32)}
SAMPLES = {"A": np.array(["s1", "s1", "s2", "s2"], object)}
DIGEST = run_digest(POPULATIONS, SAMPLES, Architecture(), TrainingPlan())


def test_the_same_events_and_settings_have_the_same_digest() -> None:
    copied = {name: np.asfortranarray(events) for name, events in POPULATIONS.items()}
    assert run_digest(copied, SAMPLES, Architecture(), TrainingPlan()) == DIGEST


def test_whatever_decides_the_result_changes_the_digest() -> None:
    a, b = POPULATIONS.values()
    moved = {"A": a[:3], "B": np.concatenate([a[3:], b])}
    one_sample = {"A": np.array(["s1", "s2", "s2", "s2"], object)}
    others = [
        run_digest(populations, samples, architecture, plan)
        for populations, samples, architecture, plan in (
            ({"A": a + 1, "B": b}, SAMPLES, Architecture(), TrainingPlan()),
            (moved, None, Architecture(), TrainingPlan()),
            ({"B": b, "A": a}, SAMPLES, Architecture(), TrainingPlan()),
            ({"A": a, "C": b}, SAMPLES, Architecture(), TrainingPlan()),
            (POPULATIONS, one_sample, Architecture(), TrainingPlan()),
            (POPULATIONS, None, Architecture(), TrainingPlan()),
            (POPULATIONS, SAMPLES, Architecture(code=7), TrainingPlan()),
            (POPULATIONS, SAMPLES, Architecture(), TrainingPlan(seed=1)),
            (POPULATIONS, SAMPLES, Architecture(), TrainingPlan(epochs=61)),
        )
    ]
    assert len({DIGEST, *others}) == 1 + len(others)
