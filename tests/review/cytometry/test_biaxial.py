import numpy as np
import pytest

from neuronedit.cells.panel import Panel
from neuronedit.review.cytometry.biaxial import biaxial_part, lineage_pairs
from tests.review.cytometry.planted_transfers import NO_CHANGE, PSTAT1, change_of, model_with, planted_transfer


def names_of(pairs: list[tuple[int, int]], markers: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(markers[x], markers[y]) for x, y in pairs]


def test_well_known_pairs_are_found_however_panels_spell_them():
    markers = ("CD45RA", "cd8b", "CD4 (RPA-T4)", "CD197", "FITC_CD19", "141Pr-CD3", "NCAM", "CD14")
    assert names_of(lineage_pairs(Panel(markers, (5.0,) * 8)), markers) == [
        ("141Pr-CD3", "FITC_CD19"),
        ("CD4 (RPA-T4)", "cd8b"),
        ("CD45RA", "CD197"),
    ]


@pytest.mark.parametrize("other", ["CD45", "CD33", "CD38", "CD8x", "pCD3zeta"])
def test_a_name_that_only_contains_a_markers_is_another_marker(other: str):
    assert lineage_pairs(Panel(("CD19", other), (5.0, 5.0))) == []


def test_a_whole_name_comes_before_one_that_holds_it():
    markers = ("CD235ab_CD3", "CD3", "CD19")
    assert lineage_pairs(Panel(markers, (5.0,) * 3)) == [(1, 2)]


def test_where_the_panel_names_lineage_markers_both_of_a_pair_must_be_one():
    markers = ("CD3", "CD19", "CD4", "CD8")
    roles = {"CD4": "lineage", "CD8": "lineage", "CD3": "lineage", "CD19": "state"}
    assert names_of(lineage_pairs(Panel(markers, (5.0,) * 4, roles)), markers) == [("CD4", "CD8")]


def test_the_pair_that_the_edit_leads_to_the_truth_has_its_distances():
    rise = change_of(PSTAT1, 1.5)
    part = biaxial_part(model_with(), planted_transfer(rise, rise))
    table = part.tables["biaxial"]
    with_rise = table[(table["x"] == "pSTAT1") | (table["y"] == "pSTAT1")]
    assert (with_rise["before"] > 0.5).all()
    assert (with_rise["edited"] < 0.1).all()
    assert "nearer to the truth" in part.reading
    assert "pSTAT1" in part.reading
    figure = part.drawings[0].figure
    assert [axes.get_title() for axes in figure.axes[:3]] == ["before", "edited", "truth"]
    assert len({axes.get_xlim() for axes in figure.axes[:3]}) == 1


def test_quadrants_show_the_share_of_events_in_each():
    # CD3 and CD4 have two sides each, and the four types one quadrant each.
    part = biaxial_part(model_with(), planted_transfer(NO_CHANGE + 0.01))
    table = part.tables["biaxial"]
    place = [{x, y} for x, y in table[["x", "y"]].to_numpy()].index({"CD3", "CD4"})
    texts = [text.get_text() for text in part.drawings[0].figure.axes[3 * place].texts]
    shares = [float(text.rstrip("%")) for text in texts]
    assert shares == pytest.approx([25] * 4, abs=1)
    assert np.sum(shares) == pytest.approx(100, abs=0.3)
