import pytest

from neuronedit.edits.support import MAX_REACH, NEW_KIND, Extrapolation


def verdict(auroc: float = 0.99, distance: float = 4.0, effect: float = 1.0) -> Extrapolation:
    return Extrapolation(0.62, auroc, distance, effect)


def test_a_new_kind_beyond_the_reach_is_flagged():
    assert verdict().flagged
    assert verdict().sentence == (
        "Do not trust the edit here: the source has hardly any event like these (AUROC 0.99, 62% of events "
        "unsupported), and they lie 4.0 times as far from the source as the target is. Learn it on a control of these "
        "cells, or measure some of them after the change."
    )


def test_a_new_kind_within_the_reach_is_not_flagged_but_named():
    near = verdict(distance=MAX_REACH)
    assert near.new_kind
    assert not near.flagged
    assert near.sentence == (
        "Take care: the source has hardly any event like these (AUROC 0.99, 62% of events unsupported), but they lie "
        "only 3.0 times as far from the source as the target is. Effects of this size have carried over to other kinds "
        "of cell."
    )


def test_known_kinds_in_another_mix_are_not_flagged_however_small_the_effect():
    known = verdict(auroc=NEW_KIND - 0.01, distance=50)
    assert not known.flagged
    assert known.sentence == "The source has events like these (AUROC 0.94, 62% of events unsupported)."


@pytest.mark.parametrize(("distance", "effect", "reach"), [(4, 2, 2), (0, 1, 0), (1, 0, float("inf"))])
def test_reach_is_distance_over_effect(distance, effect, reach):
    assert verdict(distance=distance, effect=effect).reach == reach
