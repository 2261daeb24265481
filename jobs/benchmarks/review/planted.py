"""Models and events whose every neuron is known: one wired by hand, and one trained on the same programs.

Markers: 20 of lineage, that tell 8 kinds of cell, and 5 programs of 4 functional markers. Neurons of the wired code:
one for each program (0–4), one for each lineage marker (5–24), a copy of the edited program's (25), and dead ones
(26–31). Labels: type, donor, phase (``mid`` where one program's level is), condition and sample (a donor in a
condition). In the trained network neurons share the work of the same edit.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from neuronedit.cells.design import PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import Scaling
from neuronedit.cells.transforms import Arcsinh
from neuronedit.edits.edit import fit_edit
from neuronedit.edits.operators.table import EditStep
from neuronedit.edits.plans import Plan
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.minibatches import InMemory
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.training import train
from neuronedit.review.neurons.context import ReviewContext
from neuronedit.review.subject import EditSubject, LabelledEvents

from .competition import compete

N_LINEAGE, N_PROGRAMS, PER_PROGRAM, N_TYPES = 20, 5, 4, 8
N_MARKERS, N_NEURONS = N_LINEAGE + N_PROGRAMS * PER_PROGRAM, 32
MARKERS = tuple(
    [f"L{number:02}" for number in range(1, N_LINEAGE + 1)]
    + [f"P{program}{letter}" for program in range(N_PROGRAMS) for letter in "abcd"]
)

EDITED_PROGRAM, COPY = 1, 25
EDITED_NEURONS = (EDITED_PROGRAM, COPY)
DEAD = tuple(range(26, N_NEURONS))
EDITED_MARKERS = MARKERS[N_LINEAGE + EDITED_PROGRAM * PER_PROGRAM :][:PER_PROGRAM]

SHIFT = 1.5
"""The edit's shift of the edited program, standard deviations."""

NOISE = 0.3
MIX = np.full(N_TYPES, 1 / N_TYPES)
TYPES = tuple(f"type {number}" for number in range(N_TYPES))
UNSEEN_TYPES = tuple(f"unseen type {number}" for number in range(N_TYPES))
DONORS = tuple(f"donor {letter}" for letter in "ABCD")

DONOR_MARKER = 2
"""The lineage marker that donors differ in, where they differ."""

MID_PROGRAM, MID = 3, (0.42, 0.58)
"""The program whose level makes events ``mid``, and between which of its quantiles."""

CODE_EDIT: Plan = (EditStep(layer="code"),)


@dataclass(frozen=True)
class PlantedCells:
    """Events: (n_events, n_markers) standardised, and labels by column, (n_events,) each.

    ``types`` are the numbers of the events' types; those of unseen types come after the others'.
    """

    markers: np.ndarray
    types: np.ndarray
    labels: dict[str, np.ndarray]

    @property
    def labelled(self) -> LabelledEvents:
        """The events as raw intensities."""
        intensities = np.sinh((self.markers + 3).astype(np.float64)) * 5
        return LabelledEvents(intensities.astype(np.float32), self.labels)


def program_markers(program: int) -> tuple[str, ...]:
    """The functional markers that one program moves."""
    return MARKERS[N_LINEAGE + program * PER_PROGRAM :][:PER_PROGRAM]


def wired(neuron: int) -> set[str]:
    """The markers that a live neuron was wired to."""
    if neuron >= N_PROGRAMS and neuron != COPY:
        return {MARKERS[neuron - N_PROGRAMS]}
    return set(program_markers(EDITED_PROGRAM if neuron == COPY else neuron))


def lineage_pattern(*, unseen: bool = False) -> np.ndarray:
    """(n_types, n_lineage) of -1 and 1: which lineage markers each type expresses; no two types alike."""
    return np.where(np.random.default_rng(9 if unseen else 7).random((N_TYPES, N_LINEAGE)) < 0.5, -1.0, 1.0)


def planted_cells(
    n_events: int,
    seed: int,
    *,
    shift: float = 0.0,
    mix: np.ndarray = MIX,
    stretch: float = 1.0,
    donor_gap: float = 0.0,
    unseen: bool = False,
) -> PlantedCells:
    """Events of all types, whose programs are independent but for the types' own levels.

    Args:
        n_events: How many.
        seed: Draws them.
        shift: Added to the edited program, whatever the type.
        mix: (n_types,) shares, sum 1.
        stretch: The factor of the edited program.
        donor_gap: How far one donor's ``DONOR_MARKER`` is from the next one's.
        unseen: Whether the types are others than those of all other events.
    """
    generator = np.random.default_rng(seed)
    types = generator.choice(N_TYPES, n_events, p=mix)
    lineage = lineage_pattern(unseen=unseen)[types] + NOISE * generator.standard_normal((n_events, N_LINEAGE))
    levels = 0.8 * np.random.default_rng(8).standard_normal((N_TYPES, N_PROGRAMS))
    programs = levels[types] + generator.standard_normal((n_events, N_PROGRAMS))
    programs[:, EDITED_PROGRAM] = stretch * programs[:, EDITED_PROGRAM] + shift
    functional = np.repeat(programs, PER_PROGRAM, axis=1)
    functional = functional + NOISE * generator.standard_normal(functional.shape)
    # Drawn last: who the donors are changes nothing else.
    donors = generator.integers(len(DONORS), size=n_events)
    lineage[:, DONOR_MARKER] += donor_gap * (donors - donors.mean())
    types = types + unseen * N_TYPES
    labels = _labels(types, donors, programs[:, MID_PROGRAM], "treated" if shift else "untreated")
    return PlantedCells(np.concatenate([lineage, functional], axis=1).astype(np.float32), types, labels)


def _labels(types: np.ndarray, donors: np.ndarray, levels: np.ndarray, condition: str) -> dict[str, np.ndarray]:
    low, high = np.quantile(levels, MID)
    of_donors = np.array(DONORS, dtype=object)[donors]
    return {
        "type": np.array(TYPES + UNSEEN_TYPES, dtype=object)[types],
        "donor": of_donors,
        "phase": np.where((levels > low) & (levels < high), "mid", "other").astype(object),
        "condition": np.full(len(types), condition, dtype=object),
        "sample": of_donors + f", {condition}",
    }


def planted_autoencoder() -> Autoencoder:
    """Linear: a program's neuron reads the mean of its four markers and writes all four."""
    encoder, decoder = np.zeros((N_NEURONS, N_MARKERS)), np.zeros((N_MARKERS, N_NEURONS))
    for program in range(N_PROGRAMS):
        markers = slice(N_LINEAGE + program * PER_PROGRAM, N_LINEAGE + (program + 1) * PER_PROGRAM)
        encoder[program, markers] = 1 / PER_PROGRAM
        decoder[markers, program] = 1
    for marker in range(N_LINEAGE):
        encoder[N_PROGRAMS + marker, marker] = decoder[marker, N_PROGRAMS + marker] = 1
    # The copy reads what the edited program's neuron reads; each writes one half.
    encoder[COPY] = encoder[EDITED_PROGRAM]
    decoder[:, EDITED_PROGRAM] /= 2
    decoder[:, COPY] = decoder[:, EDITED_PROGRAM]
    autoencoder = Autoencoder(N_MARKERS, Architecture(hidden=(), code=N_NEURONS))
    with torch.no_grad():
        for layer, weights in zip(autoencoder.layers, (encoder, decoder), strict=True):
            assert isinstance(layer, nn.Linear)
            layer.weight.copy_(torch.from_numpy(weights))
            layer.bias.zero_()
    return autoencoder.eval().requires_grad_(False)


def planted_model(
    source: PlantedCells, target: PlantedCells, plan: Plan = CODE_EDIT, autoencoder: Autoencoder | None = None
) -> EditModel:
    """The network by hand, unless another is given; its edit fitted as ever."""
    scaling = Scaling((Arcsinh(5.0),) * N_MARKERS, *(np.full(N_MARKERS, value, dtype=np.float32) for value in (3, 1)))
    autoencoders = (autoencoder or planted_autoencoder(),)
    edit = fit_edit("pair", autoencoders, plan, source.markers, target.markers, zeros=scaling.zeros)
    design = PairDesign(source={"drug": "no"}, target={"drug": "yes"})
    return EditModel(Panel(MARKERS, (5.0,) * N_MARKERS), scaling, autoencoders, {"pair": edit}, design)


def planted_neurons(
    n_events: int = 2_000,
    *,
    target_mix: np.ndarray = MIX,
    extrapolation: dict[str, PlantedCells] | None = None,
    donor_gap: float = 0.0,
) -> EditSubject:
    """The edit of one program, and what it sees: a source, a target shifted by ``SHIFT``, and what is given."""
    source = planted_cells(n_events, 0, donor_gap=donor_gap)
    target = planted_cells(n_events, 1, shift=SHIFT, mix=target_mix, donor_gap=donor_gap)
    others = {name: cells.labelled for name, cells in (extrapolation or {}).items()}
    return EditSubject.from_model(planted_model(source, target), "pair", source.labelled, target.labelled, others)


TRAINED = Architecture(hidden=(64, 48), code=32)


def trained_autoencoder(
    n_events: int = 2_000,
    epochs: int = 30,
    seed: int = 0,
    decorrelation: float = 0,
    architecture: Architecture = TRAINED,
    block: int = 1,
) -> Autoencoder:
    """A small network trained on the planted source and target, in whose code blocks of neurons compete."""
    source, target = planted_cells(n_events, 0), planted_cells(n_events, 1, shift=SHIFT)
    autoencoder = Autoencoder(N_MARKERS, architecture, seed)
    if block > 1:
        compete(autoencoder, block)
    plan = TrainingPlan(epochs=epochs, minibatch=256, seed=seed, decorrelation=decorrelation)
    train(autoencoder, InMemory.from_populations({"source": source.markers, "target": target.markers}, plan), plan)
    return autoencoder.eval().requires_grad_(False)


def trained_context(n_events: int = 2_000, epochs: int = 30) -> ReviewContext:
    """The trained network and its edit of the code, ready for the review's parts."""
    source, target = planted_cells(n_events, 0), planted_cells(n_events, 1, shift=SHIFT)
    model = planted_model(source, target, autoencoder=trained_autoencoder(n_events, epochs))
    return ReviewContext(EditSubject.from_model(model, "pair", source.labelled, target.labelled), model)
