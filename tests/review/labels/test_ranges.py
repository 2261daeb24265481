import re
from dataclasses import replace

import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import DEAD, DONORS, MID_PROGRAM
from sklearn.metrics import mutual_info_score

from neuronedit.errors import DataError
from neuronedit.review.labels.ranges import (
    BINS,
    EDGES,
    Ranges,
    associate,
    bin_numbers,
    information,
    joint_counts,
    ranges_part,
)
from neuronedit.review.labels.strata import Strata
from neuronedit.review.subject import Population

MIDDLE = BINS.index("40–60 %")


def within(population: Population, column: str) -> Ranges:
    return associate(population, Strata.of(population, column, None), seed=0)


def test_a_label_of_the_middle_is_enriched_there_alone(few_planted):
    ranges = within(few_planted.source, "phase")
    mid = ranges.enrichment[MID_PROGRAM, :, ranges.labels.index("mid")]
    assert mid.argmax() == MIDDLE
    assert (mid[-2:] < -3).all()
    assert ranges.information.argmax() == MID_PROGRAM
    assert ranges.outside_top > 0.9


def test_information_is_sklearns_and_a_dead_neuron_has_none(few_planted):
    codes = np.unique(few_planted.source.labels["type"].astype(str), return_inverse=True)[1]
    bins = bin_numbers(few_planted.source.activations, EDGES)
    found = information(joint_counts(bins, codes, len(BINS), 8))
    expected = [mutual_info_score(codes, column) / np.log(2) for column in bins.T]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found[list(DEAD)] == 0).all()


def test_labels_dealt_at_random_hold_no_information(few_planted):
    ranges = within(few_planted.source, "donor")
    assert set(ranges.labels) == set(DONORS)
    # (9 - 1)(4 - 1) degrees of freedom over 2 N ln 2, here 0.009 bits; its own scatter is a third of that.
    assert ranges.by_chance[0] == pytest.approx(24 / (2 * 2000 * np.log(2)), rel=0.2)
    assert ranges.information.max() < 0.01


def test_equal_activations_share_a_bin():
    bins = bin_numbers(np.r_[np.zeros(60), np.arange(1, 41)].astype(np.float32)[:, None], EDGES)
    assert len(np.unique(bins[:60])) == 1
    assert bins.max() == len(BINS) - 1


def test_the_part_says_what_lies_outside_the_top_and_holds_every_bin(few_planted):
    part = ranges_part(few_planted, "phase")
    share = part.scalars["information_outside_top_phase"]
    assert part.warning.startswith(f"{share:.0%} of what the neurons tell of phase lies outside the top 1 %")
    assert f"neuron {MID_PROGRAM} holds most" in part.reading
    assert list(part.tables["ranges_phase"].columns[2:]) == list(BINS)
    assert part.drawings[0].reading.startswith(
        "The strongest enrichment is of mid between percentiles 40–60 % of neuron"
    )
    part.drawings[0].draw()


def test_names_of_files_and_metrics_are_plain_whatever_the_columns_name(few_planted):
    named = [replace(of, labels={"Cell type (%)": of.label("type")}) for of in (few_planted.source, few_planted.target)]
    part = ranges_part(replace(few_planted, source=named[0], target=named[1]), "Cell type (%)")
    names = [part.name, *part.tables, *part.scalars, part.drawings[0].name]
    assert all(re.fullmatch(r"[a-z_]+cell_type", name) for name in names)


def test_a_column_that_is_not_there_is_told(few_planted):
    with pytest.raises(DataError, match=r"no label 'batch' \(labels: 'type', 'donor'"):
        ranges_part(few_planted, "batch")


def test_a_label_of_a_side_is_not_told_apart_from_it(few_planted):
    part = ranges_part(few_planted, "condition")
    assert part.reading.startswith("Cannot be said: condition is the same for all events of one side of the edit")
    assert (part.tables, part.drawings, part.scalars, part.warning) == ({}, (), {}, "")


def test_what_sides_and_types_tell_is_not_counted_for_a_label_that_goes_with_them(rng):
    # Donors have other shares on both sides and of two types, which the neurons read; and nothing of their own.
    population, kind = (np.repeat(of, 2000) for of in (["source", "source", "target", "target"], ["T", "B", "T", "B"]))
    donor = np.where(rng.random(8000) < 0.2 + 0.3 * (population == "source") + 0.4 * (kind == "T"), "d1", "d2")
    reads = np.stack([population == "source", kind == "T"], axis=1) + 0.1 * rng.normal(size=(8000, 2))
    labels = {name: of.astype(object) for name, of in (("population", population), ("kind", kind), ("donor", donor))}
    events = Population(reads.astype(np.float32), reads.astype(np.float32), labels)
    found = {
        given: associate(events, Strata.of(events, "donor", given), seed=0).information for given in (None, "kind")
    }
    pooled = replace(events, labels={"donor": labels["donor"]})
    assert (within(pooled, "donor").information > 0.05).all()
    assert found[None][0] < 0.005
    assert found[None][1] > 0.05
    assert (found["kind"] < 0.005).all()


def test_strata_in_which_the_label_is_constant_are_left_out_and_that_is_said(few_planted):
    donors = few_planted.source.label("donor").copy()
    one = replace(few_planted.source, labels={"donor": np.full_like(donors, "donor A")})
    part = ranges_part(replace(few_planted, source=one), "donor")
    assert part.reading.endswith(", within one side of the edit (1 of 2 groups, in which donor varies).")
