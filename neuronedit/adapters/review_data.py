"""What a review compares, drawn from the dataset: training pairs, and held-out samples with measured truth."""

import numpy as np

from neuronedit.adapters.parquet import EventDataset
from neuronedit.adapters.populations import DrawnPopulations, draw_populations
from neuronedit.design import ControlsDesign, Design, EditPair, PairDesign, describe
from neuronedit.errors import ConfigError, DataError
from neuronedit.job_configs import ReviewConfig
from neuronedit.model import EditModel
from neuronedit.panel import Panel
from neuronedit.registry_configs import CompareConfig
from neuronedit.review.transfer import HELD_OUT, TRAINING_PAIR, Comparison, FloatArray


def draw_comparisons(
    model: EditModel, dataset: EventDataset, config: ReviewConfig | CompareConfig, panel: Panel | None = None
) -> tuple[list[Comparison], DrawnPopulations]:
    """Draw the model's training pairs and, where the configuration names them, held-out comparisons.

    Args:
        model: Whose design chooses the events.
        dataset: Where they are.
        config: Which samples are held out, and how many events are drawn.
        panel: The markers to draw; by default the model's.

    Returns:
        The comparisons, and all populations of the model's design (for reconstruction errors).

    Raises:
        DataError: A population has too few events in this dataset.
        ConfigError: The held-out choice does not fit the model's design.
    """
    held_out_design = _held_out_design(model.design, config)
    panel = panel or model.panel
    drawn = draw_populations(dataset, panel, model.design, config.sample)
    pairs = {pair.name: pair for pair in model.design.edits(drawn.counts) if pair.name in model.edits}
    comparisons = [
        Comparison(_title(pair, model.design), TRAINING_PAIR, name, *_sides(drawn, pair), *_sides(drawn, pair))
        for name, pair in pairs.items()
    ]
    if held_out_design is None:
        return comparisons, drawn
    held_out = draw_populations(dataset, panel, held_out_design, config.sample)
    try:
        held_out_pairs = held_out_design.edits(held_out.counts)
    except DataError as error:
        raise DataError(f"held-out events: {error}") from error
    comparisons += [
        Comparison(
            _title(pair, held_out_design),
            HELD_OUT,
            pair.name,
            *_sides(drawn, pairs[pair.name]),
            *_sides(held_out, pair),
        )
        for pair in held_out_pairs
        if pair.name in pairs
    ]
    return comparisons, drawn


def _held_out_design(design: Design, config: ReviewConfig | CompareConfig) -> Design | None:
    """The design that puts held-out samples in the place of the controls, or of source and target."""
    sides = (config.held_out_source, config.held_out_target)
    if isinstance(design, ControlsDesign):
        if any(sides):
            raise ConfigError(
                "held_out_source and held_out_target are for pair designs; this model has a controls design. "
                "Set held_out to the column values of samples that were measured in every batch."
            )
        return design.model_copy(update={"control": config.held_out, "extrapolation": {}}) if config.held_out else None
    if config.held_out or any(sides) != all(sides):
        raise ConfigError(
            "this model has a pair design: set both held_out_source (events to edit) and held_out_target (their "
            "measured counterpart), or neither; held_out is for controls designs."
        )
    return PairDesign(source=sides[0], target=sides[1]) if all(sides) else None


def _title(pair: EditPair, design: Design) -> str:
    """Which events are led where, e.g. ``day2 → day1, role = control``."""
    if isinstance(design, ControlsDesign):
        return f"{pair.name} → {design.reference}, {describe(design.control)}"
    return f"{describe(design.source)} → {describe(design.target)}"


def _sides(drawn: DrawnPopulations, pair: EditPair) -> tuple[FloatArray, FloatArray]:
    return _pooled(drawn, pair.source), _pooled(drawn, pair.target)


def _pooled(drawn: DrawnPopulations, names: tuple[str, ...]) -> FloatArray:
    """Equally many events of each population, so that none of them is repeated."""
    smallest = min(len(drawn.intensities[name]) for name in names)
    return np.concatenate([drawn.intensities[name][:smallest] for name in names]).astype(np.float32)
