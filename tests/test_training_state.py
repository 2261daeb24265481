import errno
from pathlib import Path

import pytest
import torch

from neuronedit.errors import CheckpointError
from neuronedit.loss_history import EpochLosses
from neuronedit.training_state import ARRAYS, FACTS, TrainingState


@pytest.fixture
def state():
    return TrainingState(
        "0" * 64,
        (EpochLosses(1, 1 / 3, 0.1), EpochLosses(2, 0.2, 0.3)),
        {"layers.0.weight": torch.tensor([[1 / 3]])},
        {"0.exp_avg": torch.tensor([[0.5]]), "0.step": torch.tensor(7.0)},
        {"layers.0.weight": torch.tensor([[0.25]])},
    )


def test_a_state_read_again_is_the_one_written(state, tmp_path):
    state.save(tmp_path / "new" / "folder")
    assert TrainingState.load(tmp_path / "new" / "folder") == state  # tensors of one number compare as it
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [FACTS, ARRAYS]
    assert state.epoch == 2


@pytest.mark.parametrize("name", [FACTS, ARRAYS])
def test_a_missing_file_is_told(state, tmp_path, name):
    state.save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(
        CheckpointError,
        match=rf"^{tmp_path}: not a state of training \(No such file or directory: {tmp_path / name}\)\. Expected "
        r"state.json and state.safetensors\. Go on from an earlier checkpoint, or from none\.$",
    ):
        TrainingState.load(tmp_path)


@pytest.mark.parametrize("name", [FACTS, ARRAYS])
def test_a_file_cut_short_or_changed_is_told(state, tmp_path, name):
    state.save(tmp_path)
    whole = (tmp_path / name).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:-3] + b"0" + whole[-2:]):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(
            CheckpointError, match=rf"^{tmp_path}/state\.\w+: damaged; expected .*, found .*\. Go on from an earlier"
        ):
            TrainingState.load(tmp_path)


def test_a_changed_loss_is_damage_too(state, tmp_path):
    state.save(tmp_path)
    facts = (tmp_path / FACTS).read_text()
    (tmp_path / FACTS).write_text(facts.replace('"train_loss": 0.2', '"train_loss": 0.3'))
    with pytest.raises(CheckpointError, match=r"expected the SHA-256 \w{64} of state.json beside it, found \w{64}\."):
        TrainingState.load(tmp_path)


def test_a_state_of_another_format_is_told(state, tmp_path):
    state.save(tmp_path)
    (tmp_path / FACTS).write_text('{"format": 99}')
    with pytest.raises(CheckpointError, match=r"state.json: damaged; expected format 1, found 99\."):
        TrainingState.load(tmp_path)


def test_a_full_disk_is_told_and_the_earlier_state_stays(state, tmp_path, monkeypatch):
    state.save(tmp_path / "earlier")

    def full(path, content):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(
            CheckpointError,
            match=rf"^{tmp_path}/later: the state after epoch 2 cannot be written \(No space left on device\)\. "
            r"Make room there, or name another place for checkpoints; earlier ones are as they were\.$",
        ):
            state.save(tmp_path / "later")
    assert not list((tmp_path / "later").iterdir())
    assert TrainingState.load(tmp_path / "earlier") == state
