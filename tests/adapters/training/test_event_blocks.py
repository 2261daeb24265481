import random

import numpy as np
import pytest

from neuronedit.adapters.training import event_blocks as training_events
from neuronedit.adapters.training.event_blocks import event_blocks, gathered


def test_events_come_back_as_they_were_in_whatever_order_blocks_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_events, "ROWS_PER_BLOCK", 3)
    generator = np.random.default_rng(0)
    populations = {name: generator.normal(size=(n, 4)).astype(np.float32) for name, n in (("B", 10), ("A", 1))}
    samples = {"B": np.array([f"s{i % 3}" for i in range(10)], object)}
    blocks = event_blocks(populations, samples)
    assert len(blocks) == 5
    random.Random(1).shuffle(blocks)
    found, found_samples = gathered(blocks, ["B", "A"])
    assert list(found) == ["B", "A"]
    for name, events in populations.items():
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], events)
    assert list(found_samples) == ["B"]
    assert np.array_equal(found_samples["B"], samples["B"])
