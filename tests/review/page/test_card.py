"""The model card: what it says, how long it is, and what a person wrote beside it."""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest

from neuronedit.edits.support import Extrapolation
from neuronedit.model.gates import GATES, Gate
from neuronedit.model.scope import ReviewedPopulation, Scope
from neuronedit.review.page.card import (
    BEGIN,
    END,
    MAX_DESCRIPTION,
    MAX_LINES,
    MODEL_NOTE,
    closed,
    is_ours,
    review_card,
    training_card,
    with_card,
)
from neuronedit.review.page.report import Review
from tests.review.planted import TRUE_SHIFT

NEAR, FAR = Extrapolation(0.02, 0.55, 0.3, 1.0), Extrapolation(1.0, 1.0, 9.0, 1.0)
SCOPE = Scope(
    (ReviewedPopulation("pair", "donor = 2", 900, NEAR), ReviewedPopulation("pair", "cell_type = igm+", 800, FAR))
)
PASSED = tuple(Gate(name, 1.0, 1.0, "fine.") for name in GATES)


@pytest.fixture(scope="module")
def review(review_of: Callable[..., Review]) -> Review:
    """A review that passes all its gates, for donor 2 and not for IgM+ cells, with five restrictions."""
    told = tuple(f"Restriction {number}." for number in range(1, 6))
    return replace(review_of(TRUE_SHIFT), gates=PASSED, scope=SCOPE, restrictions=told)


def test_the_card_has_decision_scope_restrictions_numbers_page_and_commands(review: Review) -> None:
    card = review_card(review, "models:/batches/3")
    lines = card.splitlines()
    assert lines[:2] == [review.decision.headline.replace("<", "&lt;"), "---"]
    assert lines[2].startswith("Measured: on 1 held-out comparison it comes nearer to the truth than doing nothing")
    assert lines[4:6] == ["- **Reviewed for:** donor = 2", "- **Not for:** cell_type = igm+"]
    assert lines[6:9] == [f"- Restriction {number}." for number in (1, 2, 3)]
    scores = review.methods.query("kind == 'held out'").set_index("method")["emd"]
    (row,) = (line for line in lines if line.startswith("| donor &lt;2> (held out) |"))
    cells = [cell.strip().removeprefix("&nbsp;&nbsp;") for cell in row.strip("|").split("|")]
    assert cells[1].startswith(f"{scores['no edit']:.3f} → **{scores['neuronedit']:.3f}**&nbsp;±&nbsp;0.0")
    assert cells[2:4] == [f"{scores['quantile map']:.3f}", f"{scores['noise floor']:.3f}"]
    assert cells[-1] == "0 of 5"
    assert lines[-3:] == [
        "- **The page:** artifacts of the review's run, `review/review.html`; `review/neurons.html` has the neurons.",
        "- **Promote it:** `neuronedit promote batches 3 --alias champion`",
        "- **Apply it:** `neuronedit transform --model models:/batches@champion --set data.path=CELLS --output EDITED`"
        "; **go back:** `neuronedit promote batches 2 --alias champion`",
    ]


def test_a_card_has_at_most_20_lines_however_much_there_is_to_say(review: Review) -> None:
    held_out = review.methods[review.methods["kind"] == "held out"]
    more = [held_out.assign(comparison=f"donor {number} " + "x" * 500) for number in range(3, 30)]
    markers = review.markers[review.markers["kind"] == "held out"]
    more_markers = [markers.assign(comparison=rows["comparison"].iloc[0]) for rows in more]
    crowded = replace(
        review,
        methods=pd.concat([review.methods, *more]),
        markers=pd.concat([review.markers, *more_markers]),
        cells=tuple(f"cells {number}" * 50 for number in range(30)),
        restrictions=tuple("long\n" * 500 for _ in range(9)),
        scope=Scope(tuple(replace(SCOPE.populations[0], name=f"cells {n} " * 99) for n in range(99))),
    )
    card = closed(review_card(crowded, "models:/batches/3"), "2026-12-01T00:00:00Z by ada", "run " + "0" * 32)
    assert len(card.splitlines()) <= MAX_LINES == 20
    assert len(card) < MAX_DESCRIPTION
    assert "| 27 more, in summary.csv |" in card


def test_a_version_whose_checks_do_not_all_stand_is_promoted_by_an_override_alone(review: Review) -> None:
    command = '`neuronedit promote batches 3 --alias champion --override "reason"`'
    open_ = (*PASSED[1:], Gate("reconstruction", None, 0.75, "not looked at."))
    for changed in ({"gates": open_}, {"gates": ()}, {"lost": "Donor 1 was left out."}):
        card = review_card(replace(review, **changed), "models:/batches/3")
        assert f"- **Promote it, against its checks:** {command}" in card


def test_cells_that_nothing_was_found_against_are_no_release_where_the_decision_is_red(review: Review) -> None:
    failed = (Gate("reconstruction", 0.5, 0.75, "too little.", at_least=True), *PASSED[1:])
    card = review_card(replace(review, gates=failed), "models:/batches/3")
    assert "**Reviewed for:** donor = 2 (nothing was found against these; the decision above holds all the" in card
    assert card.startswith("▼ Do not use it on ")


def test_the_first_version_has_none_to_go_back_to_and_a_folder_no_commands(review: Review) -> None:
    assert "go back" not in review_card(review, "models:/batches/1")
    assert "neuronedit promote" not in review_card(review, "/models/3")


def test_names_of_the_data_cannot_end_a_row_a_card_or_a_command(review: Review) -> None:
    name = f"a|b {END} **bold** `code`\n### head"
    hostile = replace(review, cells=(name,), scope=Scope((replace(SCOPE.populations[0], name=name),)))
    card = closed(review_card(hostile, 'models:/my cells"; rm -rf/3'))
    assert card.count(END) == 1
    assert r"a\|b &lt;!-- neuronedit's card ends --> \*\*bold\*\* \`code\` ### head" in card
    assert "\n### head" not in card
    assert "neuronedit promote 'my cells\"; rm -rf' 3" in card


def test_a_new_versions_card_says_that_nothing_is_known_and_how_to_review_it(planted_model) -> None:
    card = training_card(planted_model(TRUE_SHIFT), "models:/batches/4", "s3://bucket/my cells")
    assert card.splitlines()[0] == "◆ Not reviewed yet: nothing says on which cells it may be used."
    command = "neuronedit review --model models:/batches/4 --set data.path='s3://bucket/my cells' --output review"
    assert f"`{command}`" in card


def test_a_later_card_replaces_ours_and_nothing_of_a_persons() -> None:
    old, new = closed("Not reviewed yet."), closed(r"Use it \1.")
    assert with_card(None, new) == with_card("", new) == with_card(old, new) == new
    described = with_card("Mine.\n", old)
    assert described == f"Mine.\n\n{old}"
    assert with_card(f"{described}\nMine, below.", new) == f"Mine.\n\n{new}\nMine, below."
    assert (is_ours(old), is_ours(MODEL_NOTE), is_ours(described), is_ours("")) == (True, True, False, False)


def test_where_there_is_no_room_the_persons_text_stays_whole_and_the_card_is_cut() -> None:
    card = closed("A title.\n" + "word " * 400)
    described = with_card("x" * 4_000, card)
    assert described.startswith("x" * 4_000 + f"\n\nA title.{BEGIN}\nword ")
    assert described.endswith(f"…{END}")
    assert len(described) <= MAX_DESCRIPTION
    assert with_card("x" * 4_990, card) == "x" * 4_990
    assert is_ours(with_card(described.removeprefix("x" * 4_000), card))
