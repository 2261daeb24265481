import numpy as np
import pytest

from neuronedit.errors import DataError
from neuronedit.review.cytometry.parts import cytometry_parts, learned_from
from neuronedit.review.part import FAMILIES, MAX_SVG_BYTES
from neuronedit.review.transfer.transfer import TRAINING_PAIR
from tests.review.cytometry.planted_transfers import NO_CHANGE, PSTAT1, TYPES, change_of, model_with, planted_transfer

RISE = change_of(PSTAT1, 1.0)
MODEL = model_with(CD3="lineage", CD4="lineage")
LEARNED = planted_transfer(RISE, RISE, kind=TRAINING_PAIR, name="the pair")
HELD = planted_transfer(RISE, RISE, name="other cells")


def test_all_parts_are_the_first_chapter_and_their_figures_say_the_finding():
    parts = cytometry_parts(MODEL, [LEARNED, HELD], "other cells")
    assert [part.name for part in parts] == [
        "lineage",
        "by_type",
        "fractions",
        "biaxial",
        "embedding",
        "centroids",
        "curves",
    ]
    assert {part.family for part in parts} == {"cytometry"} == {next(iter(FAMILIES))}
    for part in parts:
        assert not part.reading.startswith("Cannot be said")
        assert part.tables
        assert part.drawings
        for drawing in part.drawings:
            assert any(character.isdigit() for character in drawing.alt)
        assert np.isfinite(list(part.scalars.values())).all()
    scalars = [name for part in parts for name in part.scalars]
    assert len(scalars) == len(set(scalars))


def test_the_same_events_give_the_same_bytes_that_are_few():
    first, second = (
        [drawing.image for part in cytometry_parts(MODEL, [LEARNED, HELD], "other cells") for drawing in part.drawings]
        for _ in range(2)
    )
    assert first == second
    assert all(kind == "svg+xml" and len(image) < MAX_SVG_BYTES for kind, image in first)


def test_without_types_and_other_comparisons_the_views_of_these_are_left_out():
    transfer = planted_transfer(RISE, RISE, types=False)
    assert [part.name for part in cytometry_parts(MODEL, [transfer], "planted")] == [
        "lineage",
        "biaxial",
        "embedding",
        "curves",
    ]


def test_a_view_that_the_events_do_not_allow_says_why_and_the_others_go_on():
    transfer = planted_transfer(NO_CHANGE, keep_truth=np.arange(len(TYPES)) < 100)
    parts = {part.name: part for part in cytometry_parts(MODEL, [transfer], "planted")}
    assert parts["by_type"].reading.startswith("Cannot be said: comparison 'planted': no cell type has 50 events")
    assert parts["fractions"].reading.startswith("Cannot be said: comparison 'planted': 0 cell types have 50 events")
    assert parts["curves"].tables


def test_an_unknown_comparison_is_refused_with_the_nearest_name():
    with pytest.raises(DataError, match=r"no comparison 'other cell' .*nearest name 'other cells'"):
        cytometry_parts(MODEL, [LEARNED, HELD], "other cell")


def test_the_learned_pair_is_the_training_pair_of_the_same_edit():
    assert learned_from([HELD, LEARNED], HELD) is LEARNED
    assert learned_from([HELD], HELD) is None
