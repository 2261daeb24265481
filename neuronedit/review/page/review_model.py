"""The review of a model: its edits' transfer, reconstruction and restrictions of use, measured and put together."""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s
from neuronedit.cells.selection import describe
from neuronedit.errors import DataError, listing
from neuronedit.measures.distances import FLOOR
from neuronedit.measures.evidence import Knowledge, judge_knowledge, read_evidence
from neuronedit.model.edit_model import EditModel
from neuronedit.model.example import example_model
from neuronedit.review.cytometry.parts import cytometry_parts, lineage_warnings
from neuronedit.review.page.model_facts import model_facts
from neuronedit.review.page.report import LOSS_COLUMNS, Review
from neuronedit.review.page.restrictions import restrictions
from neuronedit.review.part import slug
from neuronedit.review.populations.mix_note import note_mix
from neuronedit.review.transfer.densities import density_table, histograms
from neuronedit.review.transfer.transfer import (
    HELD_OUT,
    Comparison,
    example_comparison,
    measure_transfers,
    method_table,
    reconstruction_table,
    transfer_table,
)
from neuronedit.review.transfer.verdict import behind, decisive_kind, held_out_rows


def review_model(
    model: EditModel,
    comparisons: Sequence[Comparison],
    populations: Mapping[str, Float32s],
    losses: pd.DataFrame | None,
    identity: Mapping[str, str],
    seed: int = 0,
) -> Review:
    """Measure how well a model's edits transfer, and how well it reconstructs.

    Args:
        model: The model to review.
        comparisons: Training pairs, and held-out ones where the truth was measured.
        populations: Raw intensities, (n_events, n_markers) each, to reconstruct.
        losses: Columns epoch, train_loss, validation_loss; None or empty where they are not known.
        identity: The page's facts about the model, in its order: name, version, digest, data, …
        seed: Halves the truth for the noise floor and draws events for distances.

    Raises:
        DataError: There is no comparison or no population, or two comparisons have the same name.
        ModelError: A comparison names an edit that the model does not have.

    Example:
        >>> comparison = example_comparison()
        >>> review = review_model(example_model(), [comparison], {"source": comparison.source}, None, {})
        >>> review.decision.headline
        '◆ Do not use it yet on other cells: measure first.'
    """
    _check(comparisons, populations)
    transfers = measure_transfers(model, comparisons, seed)
    methods, evidence = method_table(transfers), read_evidence(model.facts)
    markers, mix = transfer_table(transfers, model.panel.markers), note_mix(model, comparisons, seed)
    first = _worst(methods)
    of_lineage = lineage_warnings(model, transfers, seed)
    return Review(
        dict(identity),
        model_facts(model),
        methods,
        markers,
        density_table(transfers, model.panel),
        reconstruction_table(model, populations),
        pd.DataFrame(columns=LOSS_COLUMNS) if losses is None else losses[LOSS_COLUMNS],
        model.panel.unit,
        cells=_cells(model, comparisons),
        restrictions=(*of_lineage, *restrictions(model, markers, mix)),
        doubted=" ".join(of_lineage),
        parts=cytometry_parts(model, transfers, first, seed),
        histograms=histograms(transfers, model.panel, typed=(first,)),
        mix=mix,
        known=known_of(model, comparisons, methods),
        evidence=evidence,
    )


def known_of(model: EditModel, comparisons: Sequence[Comparison], methods: pd.DataFrame) -> tuple[Knowledge, ...]:
    """Judge what is known of how each edit carries over that changes something.

    Args:
        model: The model.
        comparisons: Those that were made.
        methods: See ``method_table``.

    Example:
        >>> known_of(example_model(), [], example_review().methods)[0].level
        'unknown'
    """
    measured = {name: behind(rows, FLOOR) for name, rows in held_out_rows(methods)}
    by_edit: dict[str, dict[str, dict[str, float]]] = {}
    for comparison in comparisons:
        if comparison.kind == HELD_OUT:
            by_edit.setdefault(comparison.edit, {})[comparison.cells or comparison.name] = measured[comparison.name]
    changing = [name for name, edit in model.edits.items() if edit.members]
    return judge_knowledge(changing, model.design, read_evidence(model.facts), by_edit)


def _worst(methods: pd.DataFrame) -> str:
    """Name the comparison to look at first: of those that the decision rests on, the one with the largest error."""
    deciding = methods[methods["kind"] == decisive_kind(methods)]
    left = {
        str(name): float(np.nanmean(list(behind(rows.set_index("method"), FLOOR).values())))
        for name, rows in deciding.groupby("comparison", sort=False)
    }
    return max(left, key=lambda name: left[name])


def _cells(model: EditModel, comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """Name the cells that the edits are to be applied to: held-out ones, or those of the design."""
    held_out = [each.cells or each.name for each in comparisons if each.kind == HELD_OUT]
    if not held_out and model.design.extrapolation:
        return (describe(model.design.extrapolation),)
    return tuple(dict.fromkeys(held_out))


@cache
def example_review() -> Review:
    """Review ``example_model`` on the cells of ``example_comparison``.

    Example:
        >>> example_review().verdicts[0].label
        'matches the quantile map'
    """
    comparison = example_comparison()
    losses = pd.DataFrame({"epoch": [1, 2], "train_loss": [0.9, 0.5], "validation_loss": [0.8, 0.6]})
    populations = {"source": comparison.source, "target": comparison.target}
    return review_model(example_model(), [comparison], populations, losses, {"name": "example", "version": "1"})


def _check(comparisons: Sequence[Comparison], populations: Mapping[str, Float32s]) -> None:
    if not comparisons or not populations:
        raise DataError(
            f"The review has {len(comparisons)} comparisons and {len(populations)} populations; "
            "expected at least one of each. Name events that the model's design can choose."
        )
    slugs = [slug(comparison.name) for comparison in comparisons]
    alike = [comparison.name for comparison, name in zip(comparisons, slugs, strict=True) if slugs.count(name) > 1]
    if alike:
        raise DataError(f"The comparisons {listing(alike)} would be logged under one name. Rename all but one.")
