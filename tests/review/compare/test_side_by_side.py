import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from neuronedit.cells.design import PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.errors import ModelError
from neuronedit.model.edit_model import EditModel
from neuronedit.review.compare.compare_page import render_comparison, write_comparison
from neuronedit.review.compare.contender import Contender
from neuronedit.review.compare.side_by_side import SideBySide, compare_models, joint_panel
from neuronedit.review.transfer.transfer import Comparison
from tests.fixtures import fit_small_pair
from tests.review.planted import MARKERS, TRUE_SHIFT, planted_events


@pytest.fixture(scope="module")
def first(planted_model: Callable[..., EditModel]) -> Contender:
    """Half of the true shift."""
    return Contender(
        "models:/m/1", planted_model(TRUE_SHIFT / 2), {"epochs": "3", "seed": "0"}, {}, {"review/a": 1.0}, "", "cells"
    )


@pytest.fixture(scope="module")
def second(planted_model: Callable[..., EditModel]) -> Contender:
    gates = {"support": "pass 0 <= 3: fine."}
    return Contender(
        "models:/m/2", planted_model(TRUE_SHIFT), {"epochs": "9", "seed": "0"}, gates, {"review/a": 2.0}, "", "cells"
    )


@pytest.fixture(scope="module")
def compared(first: Contender, second: Contender, planted_comparisons: list[Comparison]) -> SideBySide:
    return compare_models(first, second, planted_comparisons, first.model.panel)


def test_the_true_edit_is_better_than_half_of_it_on_the_same_events(compared: SideBySide) -> None:
    verdicts = compared.verdicts()
    assert list(verdicts) == ["the pair", "donor <2>"]
    assert all(
        re.fullmatch(
            r"models:/m/2 is better than models:/m/1: EMD 0\.\d+ → 0\.\d+ \(better\), energy distance \d\.\d+ → "
            r"\d\.\d+ \(better\)\. Both are better than doing nothing\.",
            verdict,
        )
        for verdict in verdicts.values()
    )
    assert compared.headline == "Of 1 held-out comparison, models:/m/2 is better than models:/m/1 on 1."
    assert compared.tone == "green"
    scalars = compared.scalars()
    # Half of the shift is left by the first, next to nothing by the second.
    assert scalars["emd_first"] == pytest.approx(np.abs(TRUE_SHIFT).mean() / 2, rel=0.15)
    assert scalars["emd_second"] < 2 * scalars["emd_floor"]
    assert scalars["emd_no_edit"] == pytest.approx(np.abs(TRUE_SHIFT).mean(), rel=0.15)


def test_a_models_scores_are_those_of_its_own_review(
    compared: SideBySide, review_of: Callable[..., object], second: Contender
) -> None:
    reviewed = review_of(TRUE_SHIFT).methods.query("method == 'neuronedit'")
    own = compared.methods.query("method == @second.name")
    assert own["emd"].to_numpy() == pytest.approx(reviewed["emd"].to_numpy(), rel=1e-5)
    assert own["energy"].to_numpy() == pytest.approx(reviewed["energy"].to_numpy(), rel=1e-4)


def test_only_what_is_not_alike_is_listed(compared: SideBySide) -> None:
    found = {name: table.to_dict("split")["data"] for name, table in compared.differences.items()}
    assert found == {
        "facts": [],
        "settings": [["epochs", "3", "9"]],
        "scalars": [["review/a", 1.0, 2.0]],
    }
    assert compared.gates.to_dict("split")["data"] == [["support", None, "pass 0 <= 3: fine."]]
    assert compared.notes == ()


def test_where_neither_is_of_use_the_verdict_says_so(
    first: Contender, second: Contender, planted_model: Callable[..., EditModel], planted_comparisons: list[Comparison]
) -> None:
    wrong = [
        replace(each, model=planted_model(shift)) for each, shift in ((first, -TRUE_SHIFT), (second, -TRUE_SHIFT / 2))
    ]
    found = compare_models(*wrong, planted_comparisons, first.model.panel)
    assert found.headline == (
        "Of 1 held-out comparison, models:/m/2 is better than models:/m/1 on 1. Neither is better than doing nothing "
        "on donor <2>."
    )
    assert found.tone == "red"
    assert all(verdict.endswith(" Neither is better than doing nothing.") for verdict in found.verdicts().values())
    one = compare_models(first, wrong[1], planted_comparisons, first.model.panel)
    assert one.tone == "red"
    assert one.verdicts()["donor <2>"].endswith(" models:/m/2 is not better than doing nothing.")


def test_each_reviews_decision_and_its_colour_stand_side_by_side(
    first: Contender, second: Contender, planted_comparisons: list[Comparison]
) -> None:
    reviewed = [
        replace(first, verdict="▼ Do not use it on donor 2. Why.", gates={"support": "fail 9 > 3: far."}),
        replace(second, verdict="▲ Use it on donor 2."),
    ]
    found = compare_models(*reviewed, planted_comparisons, first.model.panel)
    assert found.decisions == (("▼ Do not use it on donor 2. Why.", "red"), ("▲ Use it on donor 2.", "green"))
    page = render_comparison(found)
    assert '<td class="text red">▼ Do not use it on donor 2. Why.</td><td class="text green">▲ Use it on' in page
    assert '<span class="red">▼ fail 9 &gt; 3</span><small>far.</small>' in page
    assert first.decision == ("◆ No review stands: nothing says on which cells it may be used.", "amber")


def test_numbers_of_reviews_on_different_cells_are_not_compared(
    first: Contender, second: Contender, planted_comparisons: list[Comparison]
) -> None:
    one, other = replace(first, measured_on="igm+"), replace(second, measured_on="cd4+")
    found = compare_models(one, other, planted_comparisons, first.model.panel)
    assert found.differences["scalars"].empty
    assert found.notes == (
        "Numbers of their reviews are not compared, as these are not known to be of the same events: models:/m/1 on "
        "igm+; models:/m/2 on cd4+.",
    )
    alike = compare_models(one, replace(second, measured_on="igm+"), planted_comparisons, first.model.panel)
    assert len(alike.differences["scalars"]) == 1


def test_the_marker_that_the_models_differ_most_in_comes_first(compared: SideBySide) -> None:
    rows = compared.markers.query("comparison == 'donor <2>'")
    assert rows["marker"].iloc[0] == MARKERS[0]  # of the largest shift
    assert sorted(rows["marker"]) == sorted(MARKERS)


def test_models_of_other_panels_are_compared_on_the_markers_that_both_have(first: Contender) -> None:
    names = ("CD4", "CD3", "new")
    events, truth = planted_events(400, 1), planted_events(400, 2, TRUE_SHIFT)
    own = [MARKERS.index("CD4"), MARKERS.index("CD3"), 2]
    design = PairDesign(source={"drug": "no"}, target={"drug": "other"})
    other = fit_small_pair(Panel(names, (5.0,) * 3), events[:, own], truth[:, own], design)
    panel = joint_panel(first.model.panel, other.panel)
    assert panel == Panel((*MARKERS, "new"), (5.0,) * 6)
    events, truth = (np.column_stack([population, population[:, 2]]) for population in (events, truth))
    comparison = Comparison("pair", "training pair", "pair", events, truth, events, truth)
    found = compare_models(first, Contender("other", other, {}, {}, {}), [comparison], panel)
    assert set(found.markers["marker"]) == {"CD3", "CD4"}
    assert found.notes[0].startswith(
        "Distances are on the 2 markers that both models have, without CD8 (models:/m/1), "
    )
    assert found.notes[0].endswith("new (other).")
    assert found.notes[1].startswith("The designs differ. The events are those that models:/m/1's design chooses")
    assert "panel" in set(found.differences["facts"]["what"])


def test_edits_that_only_one_model_has_are_told_and_left_out(first: Contender, second: Contender, planted_comparisons):
    both = replace(second.model, edits={**second.model.edits, "B": second.model.edits["pair"]})
    extra = replace(planted_comparisons[0], name="B", edit="B")
    found = compare_models(
        replace(first, model=both), replace(second, name="x"), [*planted_comparisons, extra], both.panel
    )
    assert list(found.verdicts()) == ["the pair", "donor <2>"]
    assert found.notes == ("x has no edit for B: not compared.",)


def test_a_model_beside_itself_is_refused(first: Contender, planted_comparisons: list[Comparison]) -> None:
    with pytest.raises(ModelError, match=r"^models:/m/1 is compared with itself\. Name two models\.$"):
        compare_models(first, first, planted_comparisons, first.model.panel)


def test_models_without_a_common_edit_or_marker_are_refused(
    first: Contender, second: Contender, planted_comparisons: list[Comparison]
) -> None:
    other = replace(second, model=replace(second.model, edits={"B": second.model.edits["pair"]}))
    with pytest.raises(
        ModelError,
        match=r"^models:/m/1 and models:/m/2 share no edit that could be compared: edits 'pair' and 'B'\. Compare",
    ):
        compare_models(first, other, planted_comparisons, first.model.panel)
    foreign = replace(second, model=replace(second.model, panel=Panel(("x",), (5.0,))))
    with pytest.raises(ModelError, match=r"share no marker: 'CD3', .* and 'x'\. Compare models of the same panel\.$"):
        compare_models(first, foreign, planted_comparisons, first.model.panel)


def test_the_page_needs_nothing_else_and_escapes_what_it_shows(compared: SideBySide) -> None:
    page = render_comparison(compared)
    assert not re.search(r"(?:src|href)=[\"'](?!data:|#)", page)
    assert "donor &lt;2&gt;" in page
    assert "<b>&CD56" not in page
    assert page.count('<tr class="ours">') == 4
    assert '<td>epochs</td><td class="text">3</td><td class="text">9</td>' in page
    assert '<td>review/a</td><td class="text">1</td><td class="text">2</td>' in page
    assert '<td class="text"><span class="amber">–</span>' in page
    assert '<td class="text"><span class="green">▲ pass 0 &lt;= 3</span><small>fine.</small></td>' in page


def test_the_folder_has_the_page_and_every_table(compared: SideBySide, tmp_path) -> None:
    write_comparison(compared, tmp_path)
    names = {"compare.html", *(f"{n}.csv" for n in ("methods", "markers", "facts", "settings", "gates", "scalars"))}
    assert {path.name for path in tmp_path.iterdir()} == names
