"""Checks of the review of an edit's neurons, on neurons whose work is known: rows 1–9, 20 and 21.

The oracle of conductance is Captum's integrated gradients, which the review itself does not run.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch import nn

from neuronedit.arrays import Float32s
from neuronedit.network.autoencoder import LEAKY_SLOPE, tensor
from neuronedit.review.labels.descriptions import descriptions_part, leave_types_out
from neuronedit.review.labels.explanations import explanation_table
from neuronedit.review.labels.heads import Cells
from neuronedit.review.labels.ranges import BINS, associate
from neuronedit.review.labels.strata import Strata
from neuronedit.review.neurons.conductance import edit_conductance
from neuronedit.review.neurons.faithfulness import CONDUCTANCE, RANDOM, faithfulness
from neuronedit.review.neurons.logit import attribute_logit
from neuronedit.review.neurons.preferred import preferred_cell
from neuronedit.review.neurons.receptive import exceedance_ratios, participation, receptive_fields
from neuronedit.review.subject import EditSubject

from .checks import Measure
from .planted import (
    DEAD,
    EDITED_MARKERS,
    EDITED_NEURONS,
    MARKERS,
    MID_PROGRAM,
    N_LINEAGE,
    N_PROGRAMS,
    program_markers,
    wired,
)
from .review_problems import Problems

Measures = Sequence[Measure]

PROGRAMS, LINEAGE = slice(N_PROGRAMS), slice(N_PROGRAMS, N_PROGRAMS + N_LINEAGE)

CAPTUM_EVENTS, CAPTUM_MARKERS = 40, (11, 24)
"""Captum takes one marker at a time, and thousands of steps for each event."""

TOP, MIDDLE = 100, BINS.index("40–60 %")


def conductance(problems: Problems) -> Measures:
    """Row 1."""
    planted, trained = problems.planted_context.conductance, problems.trained_context.conductance
    few = problems.trained.sample(CAPTUM_EVENTS, seed=0)
    return (
        Measure("share of neurons 1 and 25", float(planted.share[list(EDITED_NEURONS)].sum()), least=0.9),
        Measure("completeness error, planted", planted.completeness_error, most=1e-5),
        Measure("trained", trained.completeness_error, most=1e-5),
        Measure("difference to Captum, trained", difference(few, CAPTUM_MARKERS), most=1e-5),
    )


def faithfulness_curve(problems: Problems) -> Measures:
    """Row 2."""
    planted = faithfulness(problems.planted, problems.planted_context.conductance, seed=0)
    trained = faithfulness(problems.trained, problems.trained_context.conductance, seed=0)
    few = trained.counts <= problems.trained.n_neurons // 2
    leads = trained.kept[CONDUCTANCE][few] - trained.kept[RANDOM][few]
    return (
        Measure("kept by 2 neurons, planted", planted.kept_by(2), least=0.95),
        Measure("least lead over random neurons, trained", float(leads.min()), least=0.1),
    )


def logit(problems: Problems) -> Measures:
    """Row 3."""
    return [
        Measure(
            f"rank correlation with row 1, {name}",
            attribute_logit(each.subject, each.head, each.conductance).rank_correlation,
            least=0.8,
        )
        for name, each in problems.contexts.items()
    ]


def ladder(problems: Problems) -> Measures:
    """Row 4."""
    return [
        measure
        for name, found in problems.ladders.items()
        for measure in (
            Measure(f"largest error of an activation, sd, {name}", float(found.errors.max()), most=0.05),
            Measure(f"median realism, {name}", float(np.median(found.realism[found.live])), most=1.1),
        )
    ]


def preferred(problems: Problems) -> Measures:
    """Row 5."""
    found = {
        name: preferred_cell(each.subject, each.cells, each.head).table()["marker"][:4]
        for name, each in problems.contexts.items()
    }
    return [
        Measure(f"edited markers among the first 4, {name}", len(set(first) & set(EDITED_MARKERS)), least=4)
        for name, first in found.items()
    ]


def names(problems: Problems) -> Measures:
    """Row 6."""
    found = problems.planted_context.names
    live = [neuron for neuron in range(len(found.names)) if neuron not in DEAD]
    named = {neuron: set(found.names[neuron].replace("↑", "").split()) for neuron in live}
    right = [marker for marker in MARKERS if all((marker in named[of]) == (marker in wired(of)) for of in live)]
    return (
        Measure("markers in the names of their neurons and of no other", len(right), least=len(MARKERS)),
        Measure("agreement of written and read", float(found.agreement[live].min()), least=1),
    )


def descriptions(problems: Problems) -> Measures:
    """Row 7."""
    edits = {
        name: leave_types_out(Cells.from_subject(each.subject, 0), "type")[0]
        for name, each in problems.contexts.items()
    }
    told = descriptions_part(problems.planted, None, {"no two sides": "P1a+"}).tables["descriptions"]["reason"]
    return (
        *(
            Measure(f"least AUROC of a type left out, {name}", min(each.auroc for each in found), least=0.95)
            for name, found in edits.items()
        ),
        Measure("“cannot say” of a marker without positive cells", told.str.startswith("cannot say").sum(), least=1),
    )


def explanations(problems: Problems) -> Measures:
    """Row 8."""
    table = explanation_table(problems.planted, seed=0)
    rows = table[table["neuron"] < N_PROGRAMS]
    foreign = sum(
        not set(markers.split(", ")) <= set(program_markers(program))
        for program, markers in zip(rows["neuron"], rows["markers"], strict=True)
    )
    return (
        Measure("formulas of programs with another's marker", foreign, most=0),
        Measure("least IoU", float(rows["iou"].min()), least=0.5),
        Measure("largest IoU by chance", float(rows["by_chance"].max()), most=0.15),
    )


def ranges(problems: Problems) -> Measures:
    """Row 9."""
    source = problems.planted.source
    found = associate(source, Strata.of(source, "phase", None), seed=0)
    mid = found.enrichment[MID_PROGRAM, MIDDLE, found.labels.index("mid")]
    top = np.argsort(source.activations[:, MID_PROGRAM])[-TOP:]
    return (
        Measure("log2 enrichment of the mid-only label at 40–60 %", float(mid), least=1),
        Measure("mid-only events in the top 100", int((source.label("phase")[top] == "mid").sum()), most=0),
    )


def dependence(problems: Problems) -> Measures:
    """Row 20."""
    ratios = exceedance_ratios(problems.planted, seed=0)
    return (
        Measure("largest ratio of a program", float(ratios[PROGRAMS].max()), most=0.2),
        Measure("least of a single marker", float(ratios[LINEAGE].min()), 0.9, 1.1),
        Measure("largest", float(ratios[LINEAGE].max()), 0.9, 1.1),
    )


def localisation(problems: Problems) -> Measures:
    """Row 21: of four equal weights the ratio is 1/4."""
    ratios = participation(receptive_fields(problems.planted, seed=0))
    return (
        Measure("least ratio of a single marker", float(ratios[LINEAGE].min()), least=0.99),
        Measure("mean of four", float(ratios[PROGRAMS].mean()), 0.2, 0.35),
    )


N_STEPS = 2_000
"""Steps of Captum's sums: their error falls with the number of steps, ours with its square."""

N_SEGMENTS = 128


def decoder(subject: EditSubject, *behind: nn.Module) -> nn.Sequential:
    """The decoder in modules: DeepLIFT is silently wrong where activation functions are not."""
    pairs = subject.autoencoder.dense_after(subject.layer)
    layers = [[linear, *([nn.LeakyReLU(LEAKY_SLOPE)] if leaky else [])] for linear, leaky in pairs]
    return nn.Sequential(nn.Identity(), *chain.from_iterable(layers), *behind)


def path(subject: EditSubject) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations after the edit, and before it: (n_source, n_neurons) each."""
    return tensor(subject.edited), tensor(subject.source.activations)


def integrated_gradients(subject: EditSubject, marker: int) -> Float32s:
    """Each neuron's part in what the edit does to one decoded marker, mean over the source: (n_neurons,).

    Raises:
        ImportError: Captum is not installed.
    """
    from captum.attr import IntegratedGradients  # of the extra ``dev``

    after, before = path(subject)
    oracle = IntegratedGradients(decoder(subject))
    parts = oracle.attribute(
        after, before, target=marker, n_steps=N_STEPS, method="riemann_middle", internal_batch_size=20_000
    )
    return np.asarray(parts.mean(dim=0).numpy())


def difference(subject: EditSubject, markers: Sequence[int]) -> float:
    """The largest difference between Captum's parts and ours, of any neuron and some markers.

    Raises:
        ImportError: Captum is not installed.
    """
    ours = edit_conductance(subject, N_SEGMENTS).values
    return max(float(np.abs(ours[:, marker] - integrated_gradients(subject, marker)).max()) for marker in markers)
