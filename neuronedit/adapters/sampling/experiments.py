"""Samples of measured experiments, drawn from datasets: events to compare, and the arms of two treatments."""

from collections.abc import Mapping

import numpy as np

from neuronedit.adapters.files.dataset import EventDataset, EventsConfig, list_dataset
from neuronedit.adapters.sampling.populations import draw_populations
from neuronedit.cells.arms import BOTH, CONTROL, A, Arm, ArmChoice, B, Experiment
from neuronedit.cells.draw import DrawnPopulations, SampleConfig
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import ALL_EVENTS, EventChoice, Where, describe
from neuronedit.cells.transforms import transform_markers
from neuronedit.errors import DataError
from neuronedit.measures.evaluation import ComparedEvents


def list_datasets(events: Mapping[str, EventsConfig]) -> dict[str, EventDataset]:
    """List datasets, by their role.

    Raises:
        DataError: A dataset is not there, damaged or empty.
    """
    return {role: list_dataset(chosen.path, f"{role}.path") for role, chosen in events.items()}


def draw_sample(
    name: str,
    dataset: EventDataset,
    where: Where,
    panel: Panel,
    sample: SampleConfig,
    population_column: str | None = None,
) -> ComparedEvents:
    """Draw a seeded sample of a dataset's chosen events and, if a column names populations, of each of these.

    Args:
        name: The role of the events: ``edited``, ``truth`` or ``unedited``.
        dataset: The dataset of these events.
        where: Column values of the events to draw from.
        panel: The markers.
        sample: Number of events and seed.
        population_column: Names cell populations.

    Raises:
        PanelError: A marker is missing in a file.
        DataError: A column is missing, too few events are chosen, or no event has a population.
    """
    drawn = draw_populations(dataset, panel, EventChoice(where), sample)
    if not drawn.counts:
        raise DataError(
            f"{name}: no event of {dataset.uri} has {describe(where)}. Correct {name}.where or {name}.path."
        )
    events = transform_markers(drawn.intensities[ALL_EVENTS], panel.transforms)
    if population_column is None:
        return ComparedEvents(name, events)
    # A pass of its own: a sample of equal counts per population would not be one of the whole dataset.
    split = draw_populations(dataset, panel, EventChoice(where, population_column), sample)
    _check_split(name, split, dataset, population_column)
    populations = {value: transform_markers(cells, panel.transforms) for value, cells in split.intensities.items()}
    return ComparedEvents(name, events, populations, split.counts)


def _check_split(name: str, split: DrawnPopulations, dataset: EventDataset, column: str) -> None:
    if not split.counts:
        raise DataError(
            f"{name}: no chosen event of {dataset.uri} has a value in the column {column!r}. "
            "Fill the column, or leave population_column out."
        )


def draw_experiment(dataset: EventDataset, panel: Panel, choice: ArmChoice, sample: SampleConfig) -> Experiment:
    """Draw a seeded sample of each arm or, with a sample column, of each replicate sample of each arm.

    Args:
        dataset: The measured arms.
        panel: The markers.
        choice: Assigns events to arms and replicate samples.
        sample: Number of events and seed.

    Raises:
        PanelError: A marker is missing in a file.
        DataError: A column is missing, an event is in two arms, or an arm has too few events or samples.
    """
    drawn = draw_populations(dataset, panel, choice, sample)
    arms = {}
    for name, where in choice.where.items():
        populations = [population for population in drawn.counts if population.partition(" ")[0] == name]
        if not populations:
            raise DataError(
                f"{name}: no event of {dataset.uri} has {describe(where)}. Correct the column values of {name}."
            )
        arms[name] = _arm(name, populations, drawn, choice.sample_column is not None)
    return Experiment(panel, arms[CONTROL], arms[A], arms[B], arms.get(BOTH))


def _arm(name: str, populations: list[str], drawn: DrawnPopulations, by_sample: bool) -> Arm:
    events = [drawn.intensities[population] for population in populations]
    if not by_sample:
        return Arm(name, events[0])
    samples = np.repeat(np.arange(len(events)), [len(sample) for sample in events])
    # One sample after another would put whole samples into one half of the noise floor.
    order = np.random.default_rng(len(samples)).permutation(len(samples))
    return Arm(name, np.concatenate(events)[order], samples[order])
