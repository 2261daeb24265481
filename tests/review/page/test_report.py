import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from neuronedit.cells.design import PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.cells.transforms import Logicle
from neuronedit.edits.support import Extrapolation
from neuronedit.errors import DataError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.gates import Gate
from neuronedit.model.scope import ReviewedPopulation, Scope
from neuronedit.review.page.edit_review import EditReview
from neuronedit.review.page.html import render_page
from neuronedit.review.page.model_facts import model_facts
from neuronedit.review.page.report import Review
from neuronedit.review.page.review_model import review_model
from neuronedit.review.page.sections import sections
from neuronedit.review.part import Part
from neuronedit.review.transfer.densities import density_table
from neuronedit.review.transfer.transfer import Comparison, measure_transfers
from tests.review.planted import TRUE_SHIFT


def test_scalars_are_finite_named_for_mlflow_and_equal_the_table(review_of: Callable[..., Review]) -> None:
    review = review_of(TRUE_SHIFT)
    scalars = review.scalars()
    assert all(re.fullmatch(r"[a-z0-9_/]+", name) and np.isfinite(value) for name, value in scalars.items())
    row = review.methods.query("kind == 'held out' and method == 'neuronedit'").iloc[0]
    assert scalars["headline/emd_after"] == row["emd"]
    assert scalars["review/held_out_energy_residual"] == pytest.approx(row["r_energy"])
    assert scalars["review/recon_mse"] == pytest.approx(review.reconstruction["mse"].mean())


def test_eight_scalars_are_headlines_and_no_number_has_two_names(review_of: Callable[..., Review]) -> None:
    review = review_of(TRUE_SHIFT)
    part = Part("health", "Health", "health", "Well.", scalars={"dead_neurons": 3.0})
    edits = tuple(EditReview(name, "all", (part,), {}) for name in ("pair", "other"))
    population = ReviewedPopulation("pair", "donor = 2", 900, Extrapolation(0.25, 0.6, 0.3, 1.0))
    gate = Gate("expected_error", 0.125, 0.9, "measured.")
    scalars = replace(review, edits=edits, scope=Scope((population,)), gates=(gate,)).scalars()
    headline = {name.removeprefix("headline/") for name in scalars if name.startswith("headline/")}
    assert headline == {
        *("emd_before", "emd_after", "emd_quantile_map", "energy_before", "energy_after"),
        *("markers_worse", "unsupported", "error"),
    }
    assert (scalars["headline/unsupported"], scalars["headline/error"]) == (0.25, 0.125)
    of_parts = {name for name in scalars if "dead_neurons" in name}
    assert of_parts == {"review/dead_neurons", "review/edit/other/dead_neurons"}
    assert all(name.startswith(("headline/", "review/")) for name in scalars)
    measured = [value for name, value in scalars.items() if "dead" not in name and "markers_worse" not in name]
    assert len(set(measured)) == len(measured)


def test_comparisons_have_numbers_of_their_own_only_where_a_kind_has_several(review_of: Callable[..., Review]) -> None:
    review = review_of(TRUE_SHIFT)
    assert not [name for name in review.scalars() if name.startswith("review/transfer/")]
    further = review.methods[review.methods["kind"] == "held out"].assign(comparison="donor 3", emd=0.5)
    both = replace(review, methods=pd.concat([review.methods, further]))
    scalars = both.scalars()
    assert scalars["review/transfer/donor_3/emd"] == 0.5
    assert scalars["headline/emd_after"] == pytest.approx((scalars["review/transfer/donor_2/emd"] + 0.5) / 2)
    held_out = both.held_out_scalars()
    assert {"headline/emd_after", "review/held_out_emd_floor", "review/transfer/donor_3/emd"} <= set(held_out)
    assert not {"review/recon_mse", "review/training_pair_emd"} & set(held_out)


def test_without_held_out_events_the_headline_is_of_the_training_pairs(review_of: Callable[..., Review]) -> None:
    review = review_of(TRUE_SHIFT)
    fitted = replace(review, methods=review.methods[review.methods["kind"] == "training pair"])
    assert fitted.scalars()["headline/emd_after"] == review.scalars()["review/training_pair_emd"]
    assert fitted.held_out_scalars() == []


def test_the_decisive_table_holds_the_held_out_comparisons_and_their_means(review_of: Callable[..., Review]) -> None:
    review = review_of(TRUE_SHIFT)
    table = review.decisive_table()
    assert list(dict.fromkeys(table.index.get_level_values("comparison"))) == ["donor <2>", "mean"]
    one = review.methods.query("comparison == 'donor <2>' and method == 'neuronedit'").iloc[0]
    assert table.loc[("donor <2>", "neuronedit"), "emd"] == table.loc[("mean", "neuronedit"), "emd"] == one["emd"]


def test_no_scalar_is_also_the_folder_of_another(review_of: Callable[..., Review]) -> None:
    names = review_of(TRUE_SHIFT).scalars()  # a file store keeps each metric in a file of its name
    assert not [name for name in names if any(other.startswith(f"{name}/") for other in names)]


def test_a_residual_that_is_not_defined_is_left_out(review_of: Callable[..., Review]) -> None:
    review = review_of(TRUE_SHIFT)
    methods = review.methods.copy()
    methods.loc[methods["method"] == "no edit", ["emd", "energy"]] = 0.0
    scalars = replace(review, methods=methods).scalars()
    assert "headline/emd_after" in scalars
    assert not [name for name in scalars if name.endswith("residual")]


def test_the_summary_names_the_best_simple_method(review_of: Callable[..., Review]) -> None:
    review = review_of(TRUE_SHIFT)
    row = review.summary().iloc[1]
    simple = review.methods.query("kind == 'held out' and method in ['mean shift', 'quantile map', 'latent mean']")
    best = simple.loc[simple["emd"].idxmin()]
    assert (row["emd_best_simple_method"], row["emd_best_simple"]) == (best["method"], best["emd"])


def test_the_same_seed_gives_the_same_review(
    review_of: Callable[..., Review],
    planted_model: Callable[[np.ndarray], EditModel],
    planted_comparisons: list[Comparison],
) -> None:
    populations = {"source": planted_comparisons[0].source}
    again = review_model(planted_model(TRUE_SHIFT), planted_comparisons, populations, None, {})
    pd.testing.assert_frame_equal(review_of(TRUE_SHIFT).methods, again.methods)


def test_shares_of_every_density_sum_to_one(review_of: Callable[..., Review]) -> None:
    densities = review_of(TRUE_SHIFT).densities
    sums = densities.groupby(["comparison", "marker"])[["before", "edited", "truth"]].sum()
    np.testing.assert_allclose(sums, 1)
    assert (np.abs(densities["value"] / 0.2 - (densities["value"] / 0.2).round()) < 1e-9).all()  # a bin about 0


def test_the_facts_say_whether_the_extrapolation_was_seen(planted_model: Callable[[np.ndarray], EditModel]) -> None:
    model = planted_model(TRUE_SHIFT)
    assert model_facts(model)["extrapolation population"].startswith("not seen")
    assert model_facts(model)["plan of the edit"] == "planted: visible (linear, residual)"
    assert model_facts(model)["autoencoder"] == "5-8-4-8-5 neurons"
    seen = PairDesign(source={"drug": "no"}, target={"drug": "yes"}, extrapolation={"donor": "B"})
    facts = model_facts(replace(model, design=seen, facts={"events": {"source": 12345, "target": 50}}))
    assert facts["events by population"] == "source 12,345, target 50"
    assert not {"updated from", "search"} & set(facts)
    told = {"parent": {"uri": "models:/batches/3", "sha256": "0" * 64}, "search": {"sentence": "search: chose code 4"}}
    found = model_facts(replace(model, facts=told))
    assert (found["updated from"], found["search"]) == ("models:/batches/3", "search: chose code 4")
    assert facts["extrapolation population"] == "donor = B: seen by the autoencoder in training"


def test_nothing_to_review_is_refused(planted_model: Callable[[np.ndarray], EditModel]) -> None:
    with pytest.raises(DataError, match="The review has 0 comparisons and 0 populations; expected at least one"):
        review_model(planted_model(TRUE_SHIFT), [], {}, None, {})


def test_comparisons_that_would_be_logged_under_one_name_are_refused(
    planted_model: Callable[[np.ndarray], EditModel], planted_comparisons: list[Comparison]
) -> None:
    comparisons = [replace(planted_comparisons[0], name="P 1"), replace(planted_comparisons[1], name="p-1")]
    with pytest.raises(DataError, match="The comparisons 'P 1', 'p-1' would be logged under one name"):
        review_model(planted_model(TRUE_SHIFT), comparisons, {"source": comparisons[0].source}, None, {})


def test_facts_name_the_markers_of_each_transform_where_not_all_are_arcsinh(planted_model) -> None:
    model = planted_model(TRUE_SHIFT)
    assert model_facts(model)["cofactors"] == "5"
    first, *others = model.panel.markers
    facts = model_facts(replace(model, panel=Panel(model.panel.markers, [Logicle(), *[5.0] * len(others)])))
    assert "cofactors" not in facts
    assert facts["transforms"] == (
        f"Logicle(top=262144.0, width=0.5, decades=4.5, negatives=0.0) of {first}; "
        f"Arcsinh(cofactor=5.0) of {', '.join(others)}"
    )


@pytest.mark.parametrize("unit", ["arcsinh units", "logicle units", "transformed units"])
def test_the_page_and_its_axes_have_the_unit_of_the_markers(review_of, unit) -> None:
    review = replace(review_of(TRUE_SHIFT), unit=unit)
    section = sections(review)[0]
    assert section.marker_drawing.draw().axes[0].get_xlabel() == f"EMD to the truth ({unit}); left is better"
    assert section.density_drawing.draw().get_supxlabel() == unit
    assert section.overview_drawing.draw().subfigs[0].get_supxlabel() == unit
    assert f"on the {unit.split()[0]} scale; lower is better" in render_page(review)


def test_histograms_have_a_bin_centred_on_zero_intensity_and_each_transforms_width(
    planted_model, planted_comparisons
) -> None:
    model = planted_model(TRUE_SHIFT)
    transforms = [Logicle(), *model.panel.transforms[1:]]
    mixed = replace(
        model,
        panel=Panel(model.panel.markers, transforms),
        scaling=replace(model.scaling, transforms=tuple(transforms)),
    )
    (transfer,) = measure_transfers(mixed, [planted_comparisons[0]], seed=0)
    table = density_table([transfer], mixed.panel)
    for marker, zero, width in zip(mixed.panel.markers[:2], (1 / 9, 0.0), (0.02, 0.2), strict=True):
        centres = table.loc[table["marker"] == marker, "value"].to_numpy()
        np.testing.assert_allclose(np.diff(centres), width, rtol=1e-6)
        places = (centres - zero) / width
        np.testing.assert_allclose(places, np.round(places), atol=1e-4)  # zero is float32
