"""Distillation: a student is fitted to the change that an edit makes of events like those that it will be given."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from neuronedit.arrays import Float32s, Float64s, Int64s
from neuronedit.edits.operators.descent import one_thread
from neuronedit.edits.students.student import BINS, N_BINS, Student, bin_places, network_output, network_shapes
from neuronedit.errors import ModelError
from neuronedit.network.autoencoder import LEAKY_SLOPE, tensor

N_DRAWN = 10_000
"""Events drawn of each population, at most; and jittered ones and mixtures, each, in any case."""

JITTER = 0.3
"""The noise of jittered events, in standard deviations: other samples differ from the source by as much."""

REACH = (0.5, 99.5)
"""Percentiles of the events to be edited between which a curve bends, and the network is evaluated."""

MIN_RANGE = 0.1
"""The least range of a curve outside the spike, in standard deviations: a marker may be constant."""

N_STEPS, MINIBATCH, LEARNING_RATE = 2_000, 1_024, 3e-3

TOLERANCE = 0.1
"""Errors count by their square up to this one, and by their size beyond: few events far out do not bend all else."""

N_ROUNDS = 3
"""Fits of a curve, each with weights from the errors of the one before."""

STIFFNESS = 1e-3
"""The price of a rise from knot to knot, beside the events' errors: knots without events take their neighbours'."""

Teacher = Callable[[Float32s], Float32s]
"""The change that an edit makes of standardised events with spread zeros: (n_events, n_markers) → the same shape."""


def distil(
    teacher: Teacher,
    source: Float32s,
    target: Float32s,
    spikes: tuple[Float32s, Float32s],
    seed: int,
    extrapolation: Float32s | None = None,
) -> Student:
    """Fit a student to a teacher on source, target, events to be edited, jittered events and mixtures of two events.

    Curves come first, then the network learns what they leave, then the curves are fitted again to what it leaves.

    Args:
        teacher: The change to learn.
        source: (n_source, n_markers) float32, standardised, zeros spread.
        target: (n_target, n_markers) float32, standardised, zeros spread.
        spikes: (n_markers,) float32 each, where the spread zeros of a marker begin and end; NaN where there are none.
        seed: Draws events, initial weights and minibatches.
        extrapolation: (n_events, n_markers) float32, standardised, zeros spread: of other kinds of cell than the
            source, perhaps, for which the student could only guess; None where none are known.

    Raises:
        ModelError: The teacher's change, or a loss, is not finite.

    Example:
        >>> cells, none = np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32), np.float32([np.nan] * 2)
        >>> student = distil(lambda events: -events / 2, cells, cells / 2, (none, none), seed=0)
        >>> bool(np.abs(student.change(tensor(cells)).numpy() + cells / 2).mean() < 0.05)
        True
    """
    generator = np.random.default_rng(seed)
    own = source if extrapolation is None else np.concatenate([source, extrapolation])
    events = training_events(source, target, generator, extrapolation)
    change = teacher(events)
    if not np.isfinite(change).all():
        raise ModelError(
            "The student cannot learn the edit: the change of some of its events is not finite. Look for extreme "
            'intensities, or do without a student: edit.serve = "teacher".'
        )
    edges = curve_edges(own, *spikes)
    places = bin_places(edges, events)
    clipped, values = tensor(np.clip(events, edges[0], edges[-1])), _fit_curves(places, change)
    with one_thread():
        network = _train(clipped, tensor(change - _curves(places, values)), seed)
        with torch.inference_mode():
            left = change - network_output(network, clipped).numpy()
    weights = {
        name: weight.detach().numpy() for name, weight in zip(network_shapes(edges.shape[1]), network, strict=True)
    }
    return Student(edges, _fit_curves(places, left), weights)


def training_events(
    source: Float32s, target: Float32s, generator: np.random.Generator, extrapolation: Float32s | None = None
) -> Float32s:
    """Draw the events that a student learns from: (n_events, n_markers) float32.

    They are of all populations, jittered events of those that are edited, and mixtures of two events of any: further
    events to be edited lie beside those that are known, and between them.

    Example:
        >>> cells = np.zeros((300, 2), np.float32)
        >>> training_events(cells, cells, np.random.default_rng(0)).shape
        (20600, 2)
    """
    known = [source, target] if extrapolation is None else [source, target, extrapolation]
    source, target, *others = (events[generator.permutation(len(events))[:N_DRAWN]] for events in known)
    edited, known_events = np.concatenate([source, *others]), np.concatenate([source, target, *others])
    jittered = edited[generator.integers(0, len(edited), N_DRAWN)]
    jittered = jittered + JITTER * generator.standard_normal(jittered.shape, np.float32)
    first, second = (known_events[generator.integers(0, len(known_events), N_DRAWN)] for _ in range(2))
    mixed = second + generator.random((N_DRAWN, 1), np.float32) * (first - second)
    return np.concatenate([known_events, jittered, mixed]).astype(np.float32)


def curve_edges(events: Float32s, starts: Float32s, ends: Float32s) -> Float32s:
    """Place the edges of each marker's bins: → (4, n_markers) float32, ascending.

    All bins of a marker without a spike are equally wide.

    Args:
        events: (n_events, n_markers) standardised, zeros spread, as they are to be edited.
        starts: (n_markers,) where the spread zeros begin; NaN for a marker without a spike.
        ends: (n_markers,) where they end.

    Example:
        >>> cells = np.linspace(-1, 1, 201, dtype=np.float32)[:, None]
        >>> curve_edges(cells, *np.float32([[np.nan], [np.nan]])).astype(float).ravel().round(2).tolist()
        [-0.99, -0.74, -0.37, 0.99]
    """
    lowest, highest = np.percentile(events, REACH, axis=0)
    even = np.cumsum([0, *BINS])[:, None] / N_BINS * np.maximum(highest - lowest, MIN_RANGE) + lowest
    about_zero = [np.minimum(lowest, starts - MIN_RANGE), starts, ends, np.maximum(highest, ends + MIN_RANGE)]
    return np.where(np.isnan(ends), even, np.stack(about_zero)).astype(np.float32)


def _curves(places: Float32s, values: Float32s) -> Float32s:
    knots = np.minimum(places.astype(np.int64), N_BINS - 1)
    below, above = (np.take_along_axis(values, knots + step, axis=0) for step in (0, 1))
    return below + (places - knots) * (above - below)


def _fit_curves(places: Float32s, change: Float32s) -> Float32s:
    """Fit a curve of each marker to its own change, from the events' places: → (N_BINS + 1, n_markers) float32.

    Source: Huber 1964, Ann. Math. Stat. 35(1), for the loss; its fit by weights as in Holland & Welsch 1977,
    Commun. Stat. 6(9).
    """
    return np.stack([_fit_curve(*columns) for columns in zip(places.T, change.T, strict=True)], axis=1)


def _fit_curve(places: Float32s, change: Float32s) -> Float32s:
    knots = np.minimum(places.astype(np.int64), N_BINS - 1)
    above = (places - knots).astype(np.float64)
    weights = np.ones(len(places))
    for _ in range(N_ROUNDS):
        values = np.linalg.solve(*_normal_equations(knots, above, weights, change))
        errors = np.abs(values[knots] + above * (values[knots + 1] - values[knots]) - change)
        weights = TOLERANCE / np.maximum(errors, TOLERANCE)
    return values.astype(np.float32)


def _normal_equations(knots: Int64s, above: Float64s, weights: Float64s, change: Float32s) -> tuple[Float64s, Float64s]:
    """The equations of a curve's values at its knots: (n_knots, n_knots), (n_knots,)."""
    n_knots, stiffness = N_BINS + 1, STIFFNESS * len(knots) / N_BINS
    below = 1 - above

    def summed(numbers: Int64s, terms: Float64s) -> Float64s:
        return np.bincount(numbers, weights * terms, n_knots).astype(np.float64)

    own = summed(knots, below**2) + summed(knots + 1, above**2) + 2 * stiffness
    beside = summed(knots, below * above)[:-1] - stiffness
    # The end knots have one neighbour; the last term lets a curve that no event tells of be solved.
    own[[0, -1]] -= stiffness
    matrix = np.diag(own + 1e-6 * len(knots)) + np.diag(beside, 1) + np.diag(beside, -1)
    return matrix, summed(knots, below * change) + summed(knots + 1, above * change)


def _train(events: Tensor, change: Tensor, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    network = [torch.zeros(shape) for shape in network_shapes(events.shape[1]).values()]
    for weight in network[:-2:2]:
        nn.init.kaiming_uniform_(weight, a=LEAKY_SLOPE, generator=generator)
    for parameter in network:
        parameter.requires_grad_(True)
    optimiser = torch.optim.Adam(network, lr=LEARNING_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, N_STEPS)
    for _ in range(N_STEPS):
        rows = torch.randint(len(events), (MINIBATCH,), generator=generator)
        loss = nn.functional.smooth_l1_loss(network_output(network, events[rows]), change[rows], beta=TOLERANCE)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    if not all(bool(torch.isfinite(parameter).all()) for parameter in network):
        raise ModelError(
            "The student diverged: its weights are not finite. Look for extreme intensities, or do without a student: "
            'edit.serve = "teacher".'
        )
    return network
