"""Checks of the review of populations, whose mixes are known: rows 10–13, 22 and 24."""

from collections.abc import Sequence

import numpy as np

from neuronedit.arrays import Masks
from neuronedit.edits.mix.composition import match
from neuronedit.measures.moments import rms
from neuronedit.review.labels.donor_gap import donor_gap
from neuronedit.review.labels.strata import Strata
from neuronedit.review.neurons.conductance import edit_conductance
from neuronedit.review.populations.confounding import NOT_IDENTIFIABLE, Judged, judge_confounding
from neuronedit.review.populations.matching import Matched, refit_on_matched
from neuronedit.review.populations.patterns import find_patterns
from neuronedit.review.populations.profiles import profile
from neuronedit.review.populations.support import coverage_part
from neuronedit.review.subject import EditSubject

from .checks import Measure
from .planted import (
    DONOR_MARKER,
    EDITED_MARKERS,
    MARKERS,
    MIX,
    N_PROGRAMS,
    N_TYPES,
    SHIFT,
    planted_cells,
    planted_neurons,
)
from .review_problems import SKEWED, Problems

Measures = Sequence[Measure]

EDITED = np.isin(MARKERS, EDITED_MARKERS)
OFF_TARGET = ~EDITED

N_FEW = 2_000


def verdict(subject: EditSubject) -> Judged:
    """The confounding verdict of an edit, by the types that its events are labelled with."""
    return judge_confounding(subject, edit_conductance(subject).share, "type", seed=0)


def confounding(problems: Problems) -> Measures:
    """Row 10."""
    found = {
        (mix, n_events): verdict(planted_neurons(n_events, target_mix=of)).share
        for mix, of in (("clean", MIX), ("confounded", SKEWED))
        for n_events in (N_FEW, problems.n_many)
    }
    half = np.repeat([2 / N_TYPES, 0], N_TYPES // 2)
    apart = verdict(planted_neurons(500, target_mix=half)).verdict
    bounds = {"clean": (-np.inf, 0.1), "confounded": (0.3, np.inf)}
    return (
        *(
            Measure(f"share of the mix, {mix}, {n_events:,} events", share, *bounds[mix])
            for (mix, n_events), share in found.items()
        ),
        Measure("“not identifiable” without overlap", int(apart == NOT_IDENTIFIABLE), least=1),
    )


def matching(problems: Problems) -> Measures:
    """Row 11: with kinds found in the events, not named, and with activation patterns."""
    confounded, clean = problems.confounded, problems.planted.sample(N_FEW, seed=0)
    patterns = find_patterns(planted_neurons(1_500, target_mix=SKEWED), seed=0)
    return (
        Measure("off-target RMS falls, times, by kinds", _fall(_by_kinds(confounded), OFF_TARGET, 0), least=5),
        Measure("by patterns", _fall(refit_on_matched(patterns.subject, patterns.composition), OFF_TARGET, 0), least=5),
        Measure("clean: off-target, by kinds", _fall(_by_kinds(clean), OFF_TARGET, 0), least=1),
        Measure("clean: on-target error", _fall(_by_kinds(clean), EDITED, SHIFT), least=1),
    )


def _by_kinds(subject: EditSubject) -> Matched:
    return refit_on_matched(subject, match(subject.source.markers, subject.target.markers, seed=0))


def _fall(matched: Matched, markers: Masks, truth: float) -> float:
    """The ratio, before over after matching, of the root mean square error of changes, over some markers."""
    before, after = (rms(changes[:, markers].astype(np.float64) - truth) for changes in (matched.before, matched.after))
    return float(before / after)


def coverage(problems: Problems) -> Measures:
    """Row 12."""
    n_events = problems.n_events
    subject = planted_neurons(
        n_events,
        extrapolation={
            "new donors": planted_cells(n_events, 2, donor_gap=0.1),
            "unseen types": planted_cells(n_events, 3, unseen=True),
            "stretched": planted_cells(n_events, 4, stretch=2.5),
        },
    )
    rows = coverage_part(subject, edit_conductance(subject).share).tables["support"].set_index("population")
    score = rows.to_dict("index")
    return (
        Measure("AUROC of new donors", score["new donors"]["knn_auroc"], most=0.6),
        Measure("of unseen types", score["unseen types"]["knn_auroc"], least=0.95),
        Measure("program × 2.5: outside, times the source's", score["stretched"]["outside_ratio"], least=10),
        Measure("reconstruction error, times", score["stretched"]["error_ratio"], 0.95, 1.05),
    )


def patterns(problems: Problems) -> Measures:
    """Row 13."""
    from sklearn.metrics import adjusted_rand_score

    found = {
        "planted": find_patterns(problems.planted, seed=0),
        "another mix": find_patterns(problems.confounded, seed=0),
        "trained": find_patterns(problems.trained, seed=0),
    }
    return [
        Measure(
            f"ARI of patterns and types, {name}",
            adjusted_rand_score(each.subject.source.label("type"), each.source),
            least=0.95,
        )
        for name, each in found.items()
    ]


def gap(problems: Problems) -> Measures:
    """Row 22: within one side and type."""
    pooled = problems.donors.pooled
    found = donor_gap(pooled, Strata.of(pooled, "donor", "type"), seed=0)
    own = N_PROGRAMS + DONOR_MARKER
    return (
        Measure("neurons before the donor marker's", int((found > found[own]).sum()), most=0),
        Measure("times the next", float(found[own] / np.delete(found, own).max()), least=1),
    )


def profiles(problems: Problems) -> Measures:
    """Row 24."""
    from sklearn.metrics import adjusted_rand_score

    found = profile(planted_neurons(N_FEW, donor_gap=0.05).pooled, "sample")
    conditions = [sample.split(", ")[1] for sample in found.samples]
    return (Measure("ARI of sample clusters and conditions", adjusted_rand_score(conditions, found.clusters), 1, 1),)
