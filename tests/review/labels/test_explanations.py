import numpy as np
import pandas as pd
import pytest
from neuronedit_jobs.benchmarks.review.planted import DEAD, EDITED_MARKERS, EDITED_NEURONS, N_NEURONS

from neuronedit.review.labels.explanations import Atoms, chance, explain, explanation_table, explanations_part, pack
from neuronedit.review.labels.positivity import Positivity


@pytest.fixture(scope="module")
def table(few_planted) -> pd.DataFrame:
    return explanation_table(few_planted, seed=0)


def test_a_marker_of_its_own_explains_its_neuron_wholly(table):
    rows = table[table["neuron"] == 7].set_index("end")
    assert list(rows["formula"]) == ["L03 high", "L03 low"]
    assert (rows["iou"] == 1).all()


def test_a_dead_neuron_has_no_formula(table):
    silent = table[table["iou"].isna()]
    assert set(silent["neuron"]) == set(DEAD)
    assert (silent["formula"] == "").all()


def test_a_planted_formula_is_found(rng):
    markers = np.where(rng.random((2000, 3)) < 0.5, -2, 2) + 0.2 * rng.normal(size=(2000, 3))
    names = ("CD3", "CD4", "CD56")
    gates = Positivity.fit(markers.astype(np.float32), seed=0)
    np.testing.assert_allclose(gates.thresholds, 0, atol=0.3)
    cd3, cd4, cd56 = (markers > 0).T
    atoms = Atoms.from_markers(markers.astype(np.float32), names, gates)
    found = explain(pack((cd3 & cd4 & ~cd56)[None])[0], atoms)
    assert set(found.markers) == set(names)
    assert found.iou == 1
    assert chance(250, 2000, atoms, seed=0) < 0.2


def test_bits_are_counted_whatever_the_number_of_events():
    for n_events in (1, 63, 64, 65):
        assert np.bitwise_count(pack(np.ones((1, n_events), dtype=bool))).sum() == n_events


def test_a_gate_is_found_where_a_marker_has_two_sides_and_only_there(rng):
    one_sided = rng.normal(size=4000)
    rare = np.r_[rng.normal(0, 0.3, 3880), rng.normal(3, 0.3, 120)]
    spike = np.r_[np.zeros(3000), rng.normal(4, 0.5, 1000)]
    dead = np.zeros(4000)
    lonely = np.r_[rng.normal(0, 0.1, 3998), 9.0, 9.1]
    markers = np.column_stack([one_sided, rare, spike, dead, lonely]).astype(np.float32)
    gates = Positivity.fit(markers, seed=0)
    assert gates.two_sided.tolist() == [False, True, True, False, False]
    assert gates.positive(markers).sum(axis=0).tolist()[1:3] == pytest.approx([120, 1000], abs=5)


def test_the_part_shows_the_edits_neurons(few_planted):
    weights = np.zeros(N_NEURONS)
    weights[list(EDITED_NEURONS)] = 0.5
    part = explanations_part(few_planted, weights, n_shown=2)
    assert part.reading.startswith("A formula of up to 4 marker gates explains 52 of 52 ends")
    assert any(marker in part.drawings[0].reading for marker in EDITED_MARKERS)
    part.drawings[0].draw()


def test_dead_neurons_have_no_figure(few_planted):
    weights = np.zeros(N_NEURONS)
    weights[list(DEAD)] = 1
    assert explanations_part(few_planted, weights, n_shown=len(DEAD)).drawings == ()


def test_no_formula_names_a_marker_twice(table, rng):
    named = [markers.split(", ") for markers in table.loc[table["iou"].notna(), "markers"]]
    assert all(len(set(markers)) == len(markers) for markers in named)
    # Events at both ends of a marker: "A high OR A low" is their best formula, and not allowed.
    values = rng.normal(size=(2000, 2)).astype(np.float32)
    atoms = Atoms.from_markers(values, ("A", "B"), Positivity.fit(values, seed=0))
    ends = np.abs(values[:, 0]) > np.percentile(np.abs(values[:, 0]), 80)
    assert len(explain(pack(ends[None])[0], atoms).markers) == len(set(explain(pack(ends[None])[0], atoms).markers))


def test_a_panel_of_one_marker_has_formulas_of_one_gate(rng):
    values = rng.normal(size=(500, 1)).astype(np.float32)
    atoms = Atoms.from_markers(values, ("A",), Positivity.fit(values, seed=0))
    assert explain(pack((values[:, 0] > 2)[None])[0], atoms).formula == "A high"
