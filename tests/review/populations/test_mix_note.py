from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from neuronedit.edits.mix.composition import CLEAN, CONFOUNDED
from neuronedit.model.edit_model import EditModel
from neuronedit.review.populations import mix_note
from neuronedit.review.populations.mix_note import note_mix
from neuronedit.review.transfer.transfer import TRAINING_PAIR, Comparison
from tests.review.planted import TRUE_SHIFT, planted_events

Build = Callable[[np.ndarray], EditModel]

TOO_SURE = " Kinds were found in the events: a column of cell types (labels.cell_type) makes sure."


def of_second_kind(seed: int, share: float) -> np.ndarray:
    return np.random.default_rng(seed).random(1500) < share


def two_kinds(seed: int, share: float) -> np.ndarray:
    return planted_events(1500, seed + 50, np.where(of_second_kind(seed, share), 3.0, 0.0)[:, None])


def mixed_pair(first: float, second: float) -> Comparison:
    source, target = two_kinds(1, first), two_kinds(2, second)
    return Comparison("mixed", TRAINING_PAIR, "pair", source, target, source, target)


def labelled(pair: Comparison, source: np.ndarray, target: np.ndarray) -> Comparison:
    return replace(pair, event_types=source.astype(object), truth_types=target.astype(object))


def test_the_same_mix_of_cell_types_is_of_no_concern(
    planted_model: Build, planted_comparisons: list[Comparison]
) -> None:
    note = note_mix(planted_model(TRUE_SHIFT), planted_comparisons, seed=0)
    assert note.share <= CLEAN
    assert not note.of_concern


def test_another_mix_of_cell_types_is_noted_unless_it_was_matched(planted_model: Build) -> None:
    model, pair = planted_model(TRUE_SHIFT), mixed_pair(0.2, 0.7)
    note = note_mix(model, [pair], seed=0)
    assert note.share >= CONFOUNDED
    assert note.of_concern
    assert note.sentence.startswith("The mix of cell types makes ")
    assert note.sentence.endswith(TOO_SURE)
    matched = note_mix(replace(model, facts={"match_composition": True}), [pair], seed=0)
    assert (matched.share, matched.of_concern) == (0.0, False)


def test_of_many_events_some_are_drawn_with_their_cell_types(
    planted_model: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pair = planted_model(TRUE_SHIFT), mixed_pair(0.2, 0.7)
    named = labelled(pair, of_second_kind(1, 0.2), of_second_kind(2, 0.7))
    of_all = [note_mix(model, [each], seed=0).share for each in (pair, named)]
    monkeypatch.setattr(mix_note, "MAX_EVENTS", 750)
    of_some = [note_mix(model, [each], seed=0).share for each in (pair, named)]
    assert of_some != of_all
    assert of_some == pytest.approx(of_all, abs=0.1)


def test_cell_types_that_are_named_decide_and_what_they_hide_is_told(planted_model: Build) -> None:
    model, pair = planted_model(TRUE_SHIFT), mixed_pair(0.2, 0.7)
    found = note_mix(model, [pair], seed=0)
    told = (
        "the most of all. Cell types are those of the labels; by kinds found in the events it would be "
        f"{found.share:.0%}."
    )
    by_name = note_mix(model, [labelled(pair, of_second_kind(1, 0.2), of_second_kind(2, 0.7))], seed=0)
    assert by_name.share == pytest.approx(found.share, abs=0.1)
    assert by_name.sentence.endswith(told)
    blind = np.full(1500, "cell")
    hidden = note_mix(model, [labelled(pair, blind, blind)], seed=0)
    assert hidden.share == 0
    assert hidden.sentence.endswith(told)
    alike = note_mix(model, [labelled(mixed_pair(0.5, 0.5), blind, blind)], seed=0)
    assert alike.sentence.endswith("the most of all.")


def test_without_a_common_kind_it_is_noted_that_nothing_can_be_told(planted_model: Build) -> None:
    model = planted_model(TRUE_SHIFT)
    assert note_mix(model, [mixed_pair(0.0, 0.0)], seed=0).share is not None
    unlike = note_mix(model, [replace(mixed_pair(0.5, 0.0), name="unlike")], seed=0)
    assert (unlike.share, unlike.of_concern) == (None, True)
    assert unlike.sentence.startswith("unlike: what is mix and what is state cannot be told apart. Composition: ")


def test_without_training_pairs_there_is_nothing_to_note(
    planted_model: Build, planted_comparisons: list[Comparison]
) -> None:
    assert (
        note_mix(planted_model(TRUE_SHIFT), planted_comparisons[1:], seed=0).sentence
        == "No training pair was reviewed."
    )
