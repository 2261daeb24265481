"""The arms of a two-treatment experiment, drawn from a dataset in one pass."""

import numpy as np

from neuronedit.adapters.parquet import EventDataset
from neuronedit.adapters.populations import DrawnPopulations, draw_populations
from neuronedit.arms import BOTH, CONTROL, A, Arm, ArmChoice, B, Experiment
from neuronedit.design import describe
from neuronedit.errors import DataError
from neuronedit.job_configs import CombineConfig
from neuronedit.panel import Panel


def arm_choice(config: CombineConfig) -> ArmChoice:
    """Which events the configuration puts into which arm; both treatments only where they were measured."""
    where = {CONTROL: config.control, A: config.a, B: config.b}
    return ArmChoice(where | {BOTH: config.both} if config.both else where, config.sample_column)


def draw_experiment(dataset: EventDataset, panel: Panel, config: CombineConfig) -> Experiment:
    """A seeded sample of each arm or, with a sample column, of each replicate sample of each arm.

    Raises:
        PanelError: A marker is missing in a file.
        DataError: A column is missing, an event is in two arms, or an arm has too few events or samples.
    """
    choice = arm_choice(config)
    drawn = draw_populations(dataset, panel, choice, config.sample)
    arms = {}
    for name, where in choice.where.items():
        populations = [population for population in drawn.counts if population.partition(" ")[0] == name]
        if not populations:
            raise DataError(
                f"{name}: no event of {dataset.uri} has {describe(where)}. Correct the column values of {name}."
            )
        arms[name] = _arm(name, populations, drawn, config.sample_column is not None)
    return Experiment(panel, arms[CONTROL], arms[A], arms[B], arms.get(BOTH))


def _arm(name: str, populations: list[str], drawn: DrawnPopulations, by_sample: bool) -> Arm:
    events = [drawn.intensities[population] for population in populations]
    if not by_sample:
        return Arm(name, events[0])
    samples = np.repeat(np.arange(len(events)), [len(sample) for sample in events])
    # One sample after another would put whole samples into one half of the noise floor.
    order = np.random.default_rng(len(samples)).permutation(len(samples))
    return Arm(name, np.concatenate(events)[order], samples[order])
