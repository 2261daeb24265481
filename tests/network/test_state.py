import json

import pytest
import torch

from neuronedit.errors import CheckpointError
from neuronedit.network.state import ARRAYS, FACTS, EpochLosses, TrainingState


@pytest.fixture
def state():
    return TrainingState(
        "0" * 64,
        (EpochLosses(1, 1 / 3, 0.1), EpochLosses(2, 0.2, 0.3)),
        {"layers.0.weight": torch.tensor([[1 / 3]])},
        {"0.exp_avg": torch.tensor([[0.5]]), "0.step": torch.tensor(7.0)},
        {"layers.0.weight": torch.tensor([[0.25]])},
    )


def test_a_state_read_again_is_the_one_written(state):
    assert TrainingState.parse(state.files(), "here") == state  # tensors of one number compare as it
    assert state.epoch == 2


def test_the_file_that_vouches_for_the_other_comes_last(state):
    assert list(state.files()) == [ARRAYS, FACTS]


@pytest.mark.parametrize("name", [FACTS, ARRAYS])
def test_a_missing_file_is_told(state, name):
    files = state.files()
    del files[name]
    with pytest.raises(
        CheckpointError,
        match=rf"^run/epoch-2: not a state of training; expected state.json and state.safetensors, found no {name}\. "
        r"Go on from an earlier checkpoint, or from none\.$",
    ):
        TrainingState.parse(files, "run/epoch-2")


@pytest.mark.parametrize("name", [FACTS, ARRAYS])
def test_a_file_cut_short_or_changed_is_told(state, name):
    whole = state.files()[name]
    for damaged in (whole[: len(whole) // 2], b"", whole[:-3] + b"0" + whole[-2:]):
        with pytest.raises(
            CheckpointError, match=r"^run/epoch-2/state\.\w+: damaged; expected .*, found .*\. Go on from an earlier"
        ):
            TrainingState.parse(state.files() | {name: damaged}, "run/epoch-2")


def test_a_changed_loss_is_damage_too(state):
    facts = state.files()[FACTS].replace(b'"train_loss": 0.2', b'"train_loss": 0.3')
    with pytest.raises(CheckpointError, match=r"expected the SHA-256 \w{64} of state.json beside it, found \w{64}\."):
        TrainingState.parse(state.files() | {FACTS: facts}, "here")


def test_a_state_of_another_format_is_told(state):
    facts = json.dumps({"format": 99}).encode()
    with pytest.raises(CheckpointError, match=r"state.json: damaged; expected format 1, found 99\."):
        TrainingState.parse(state.files() | {FACTS: facts}, "here")
