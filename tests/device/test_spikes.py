import numpy as np
import torch

from neuronedit.device.spikes import DeviceSpikes, mix
from neuronedit.events import mix_bits
from neuronedit.spikes import Spikes

CPU = torch.device("cpu")


def test_mixed_bits_are_the_processors(rng):
    ends = np.array([0, 1, 2**63 - 1, 2**63, 2**64 - 1], np.uint64)
    states = np.concatenate([ends, rng.integers(0, 2**64, 10_000, dtype=np.uint64)])
    found = mix(torch.from_numpy(states.view(np.int64))).numpy().view(np.uint64)
    assert (found == mix_bits(states)).all()


def test_zeros_are_spread_and_gathered_to_the_same_bits(rng):
    zeros = np.array([-1.0, 0.0, np.nan, -2.0], np.float32)
    markers = rng.normal(size=(500, 4)).astype(np.float32)
    for marker in (0, 1, 3):
        markers[rng.random(500) < 0.3, marker] = zeros[marker]
    spikes = Spikes(zeros, zeros + np.float32(0.1))
    spread = spikes.spread(markers)
    edited = (spread + np.where(rng.random(spread.shape) < 0.5, rng.normal(size=spread.shape), 0)).astype(np.float32)
    there = DeviceSpikes(spikes, CPU)
    before, after = torch.from_numpy(markers), torch.from_numpy(edited)
    assert there.spread(before).numpy().tobytes() == spread.tobytes()
    gathered = there.gather(after, there.spread(before), before).numpy()
    assert gathered.tobytes() == spikes.gather(edited, spread, markers).tobytes()


def test_without_spikes_nothing_is_spread(rng):
    markers = torch.from_numpy(rng.normal(size=(5, 3)).astype(np.float32))
    assert DeviceSpikes(Spikes.none(3), CPU).spread(markers) is markers
