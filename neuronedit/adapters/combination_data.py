"""The arms of a two-treatment experiment, drawn from a dataset in one pass."""

import numpy as np

from neuronedit.adapters.parquet import EventDataset
from neuronedit.adapters.populations import draw_populations
from neuronedit.arms import BOTH, CONTROL, A, Arm, ArmChoice, B, Experiment
from neuronedit.design import describe
from neuronedit.draw import DrawnPopulations, SampleConfig
from neuronedit.errors import DataError
from neuronedit.panel import Panel


def draw_experiment(dataset: EventDataset, panel: Panel, choice: ArmChoice, sample: SampleConfig) -> Experiment:
    """A seeded sample of each arm or, with a sample column, of each replicate sample of each arm.

    Args:
        dataset: The measured arms.
        panel: The markers.
        choice: Which events are of which arm and replicate sample.
        sample: How many are drawn.

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
