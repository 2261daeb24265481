import numpy as np

from neuronedit.cells.design import EditPair
from neuronedit.edits.edit import fit_edit
from neuronedit.edits.operators.table import EditStep
from neuronedit.edits.pair_events import PairEvents, pool_equally
from tests.fitted import fit_pair

VISIBLE = (EditStep(layer="visible"),)


def test_pooling_repeats_smaller_populations_until_each_weighs_the_same():
    small, large = np.zeros((2, 1), np.float32), np.ones((6, 1), np.float32)
    assert pool_equally([small, large]).mean() == 0.5
    assert pool_equally([large]).tolist() == large.tolist()


def test_labels_are_pooled_with_their_events():
    populations = {name: np.full((n, 1), value, np.float32) for name, n, value in (("a", 2, 0), ("b", 4, 1))}
    labels = {"a": np.array(["x", "x"]), "b": np.array(["y"] * 4)}
    events = PairEvents.pool(EditPair("a", ("a",), ("a", "b")), populations, labels)
    assert events.labels is not None
    of_source, of_target = events.labels
    assert of_source.tolist() == ["x", "x"]
    assert (of_target == np.where(events.target[:, 0] == 1, "y", "x")).all()
    assert len(of_target) == 8


def test_an_edit_to_pooled_controls_leads_to_the_median_of_equally_weighted_batches(autoencoder):
    # Batch a lies at 0 and has 10 times the events of b, which lies at 4: half of the pool is each.
    populations = {"a": np.zeros((100, 5), np.float32), "b": np.full((10, 5), 4, np.float32)}
    populations["a"][::2, 4] = 1  # something must tell the source's events apart
    zeros = np.full(5, -9, np.float32)
    edit = fit_pair(EditPair("a", ("a",), ("a", "b")), autoencoder, populations, VISIBLE, zeros)
    # A dead source gets the mean shift: half the pool at 0, half at 4.
    assert (edit.apply((autoencoder,), populations["a"])[:, :4] == 2).all()


def test_a_differing_mix_is_not_learned_where_composition_is_matched(autoencoder, rng):
    kinds = [rng.normal(centre, 0.3, (900, 5)).astype(np.float32) for centre in (0, 4)]
    populations = {
        "a": np.concatenate([kinds[0][:600], kinds[1][:200]]),
        "b": np.concatenate([kinds[0][600:800], kinds[1][200:800]]),
    }
    labels = {"a": np.repeat(["x", "y"], (600, 200)), "b": np.repeat(["x", "y"], (200, 600))}
    plain = PairEvents.pool(EditPair("a", ("a",), ("b",)), populations, labels)

    def spurious(events: PairEvents) -> float:
        zeros = np.full(5, -99, np.float32)
        edit = fit_edit(
            "a", (autoencoder,), VISIBLE, events.source, events.target, zeros=zeros, fitting=events.fitting()
        )
        return np.sqrt(np.mean((edit.apply((autoencoder,), events.source) - events.source) ** 2))

    assert spurious(plain.matched(0)) < spurious(plain) / 5
