"""The review as data: everything that the page shows, as tables, sentences and numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s
from neuronedit.edits.baselines import LATENT_MEAN, MEAN_SHIFT, NO_EDIT, QUANTILE_MAP
from neuronedit.errors import DataError, listing
from neuronedit.measures.distances import DECISIVE_NAMES, FLOOR
from neuronedit.measures.evidence import EditEvidence, Knowledge, judge_knowledge, knowledge_sentence, read_evidence
from neuronedit.model.edit_model import EditModel
from neuronedit.model.example import example_model
from neuronedit.model.gates import GATE_COLUMNS, Gate, Tone, headline, joint_tone
from neuronedit.review.page.edit_review import EditReview
from neuronedit.review.page.model_facts import model_facts, unmoved_markers
from neuronedit.review.part import slug
from neuronedit.review.transfer.densities import density_table
from neuronedit.review.transfer.transfer import (
    HELD_OUT,
    NEURONEDIT,
    Comparison,
    example_comparison,
    measure_transfer,
    method_table,
    reconstruction_table,
    transfer_table,
)
from neuronedit.review.transfer.verdict import Verdict, behind, decisive_kind, held_out_rows, judge_comparisons, overall

LOSS_COLUMNS = ["epoch", "train_loss", "validation_loss"]

SIMPLE_METHODS = (MEAN_SHIFT, QUANTILE_MAP, LATENT_MEAN)


@dataclass(frozen=True)
class Review:
    """A model's review: its tables, facts, gates, and the reviews of its edits.

    Attributes:
        identity: The model's name, version, digest, data, … as the caller knows them.
        facts: The model's panel, design, network, plan of the edit, whether the extrapolation was seen.
        methods: See ``method_table``.
        markers: See ``marker_table``.
        densities: See ``density_table``.
        reconstruction: See ``reconstruction_table``.
        losses: Columns epoch, train_loss, validation_loss; no rows where they are not known.
        unit: Of transformed values and their distances.
        gates: The gates' outcomes; empty where they were not computed.
        edits: Reviews of edits, neuron by neuron; may be empty.
        left_markers: Sentences on the markers that edits leave as they are: not to be moved, or not to be learned.
        caution: What whoever uses the model must know of its design; empty where there is nothing.
        known: What is known of how each edit carries over to samples that it was not fitted on.
        evidence: What was found of each edit by leaving samples and kinds of cell out, by its name.
        lost: What an earlier review of the same version measured and this one leaves out, as a sentence; mostly empty.
    """

    identity: Mapping[str, str]
    facts: Mapping[str, str]
    methods: pd.DataFrame
    markers: pd.DataFrame
    densities: pd.DataFrame
    reconstruction: pd.DataFrame
    losses: pd.DataFrame
    unit: str
    gates: tuple[Gate, ...] = ()
    edits: tuple[EditReview, ...] = ()
    left_markers: tuple[str, ...] = ()
    caution: str = ""
    known: tuple[Knowledge, ...] = ()
    evidence: Mapping[str, EditEvidence] = field(default_factory=dict)
    lost: str = ""

    @property
    def headline(self) -> str:
        """The joint outcome of all gates in a few words."""
        return headline(self.gates, lost=bool(self.lost))

    @property
    def tone(self) -> Tone:
        """The joint outcome's colour."""
        return joint_tone(self.gates, lost=bool(self.lost))

    def gate_table(self) -> pd.DataFrame:
        """A row for each gate: gate, outcome, tone (green, amber, red), value, threshold, rule, reason."""
        return pd.DataFrame([gate.row() for gate in self.gates], columns=GATE_COLUMNS)

    @property
    def comparisons(self) -> list[str]:
        """The comparisons' names, in the order given."""
        return list(self.methods["comparison"].unique())

    @property
    def verdicts(self) -> list[Verdict]:
        """A verdict for each comparison, in the order given."""
        return judge_comparisons(self.methods)

    def verdict(self) -> str:
        """Say how it is known whether the edits carry over, then how they did in the comparisons that it rests on."""
        return f"{knowledge_sentence(self.known)} {overall(self.verdicts, decisive_kind(self.methods))}".lstrip()

    def summary(self) -> pd.DataFrame:
        """A row for each comparison: each distance before, after, by the best simple method, and its floor."""
        return pd.DataFrame([_summary_row(rows.set_index("method")) for _, rows in self._by_comparison()])

    def evidence_table(self) -> pd.DataFrame:
        """A row for each sample and kind of cell left out of an edit.

        Columns: edit, left_out (the column), name, events, truth (numbers of events), and the errors of the edit and of
        the per-marker quantile map (0 is noise, 1 is doing nothing) by each distance.
        """
        return pd.DataFrame(
            [
                {
                    "edit": name,
                    "left_out": left_out.column,
                    "name": unit.name,
                    "events": unit.n_events,
                    "truth": unit.n_truth,
                    **{metric: unit.edit[metric] for metric in DECISIVE_NAMES},
                    **{f"{metric}_quantile_map": unit.quantile_map[metric] for metric in DECISIVE_NAMES},
                }
                for name, found in self.evidence.items()
                for left_out in (found.samples, found.kinds)
                if left_out
                for unit in left_out.units
            ],
            columns=[
                *("edit", "left_out", "name", "events", "truth", *DECISIVE_NAMES),
                *(f"{metric}_quantile_map" for metric in DECISIVE_NAMES),
            ],
        )

    def decisive_table(self) -> pd.DataFrame:
        """A row for each comparison that the verdict rests on and each method, and the methods' means over them."""
        columns = [*DECISIVE_NAMES, "markers_worse"]
        decisive = self.methods[self.methods["kind"] == decisive_kind(self.methods)]
        means = decisive.groupby("method", sort=False, as_index=False)[columns].mean().assign(comparison="mean")
        return pd.concat([decisive, means]).set_index(["comparison", "method"])[columns]

    def scalars(self) -> dict[str, float]:
        """Numbers for MLflow's compare view: means over each kind, then each comparison's own; all finite."""
        scalars = {"recon_mse": float(self.reconstruction["mse"].mean())}
        for kind, rows in self.methods.groupby("kind", sort=False):
            means = rows.groupby("method", sort=False)[[*DECISIVE_NAMES, "markers_worse"]].mean()
            scalars |= {f"{slug(str(kind))}_{name}": value for name, value in _scalars(means).items()}
        for comparison, rows in self._by_comparison():
            own = _scalars(rows.set_index("method"))
            scalars |= {f"transfer/{slug(comparison)}/{name}": value for name, value in own.items()}
        for edit in self.edits:
            # The first edit's numbers stand for the model in the compare view; every edit's have names of their own.
            scalars |= {name: value for name, value in edit.scalars.items() if edit is self.edits[0]}
            scalars |= {f"edit/{slug(edit.edit)}/{name}": value for name, value in edit.scalars.items()}
        return {name: value for name, value in scalars.items() if np.isfinite(value)}

    def _by_comparison(self) -> list[tuple[str, pd.DataFrame]]:
        return [(str(name), rows) for name, rows in self.methods.groupby("comparison", sort=False)]


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
        >>> review.comparisons, review.verdicts[0].against_nothing
        (['other cells'], 'better than')
    """
    _check(comparisons, populations)
    transfers = [measure_transfer(model, comparison, seed) for comparison in comparisons]
    methods, evidence = method_table(transfers), read_evidence(model.facts)
    return Review(
        dict(identity),
        model_facts(model),
        methods,
        transfer_table(transfers, model.panel.markers),
        density_table(transfers, model.panel),
        reconstruction_table(model, populations),
        pd.DataFrame(columns=LOSS_COLUMNS) if losses is None else losses[LOSS_COLUMNS],
        model.panel.unit,
        left_markers=(
            *(
                f"As edit.markers says, left as they are by {edits}: {markers}."
                for edits, markers in unmoved_markers(model).items()
            ),
            *(
                f"The edit {name!r} leaves {marker} as it is, which it cannot learn: {reason}."
                for name, reasons in model.unlearnable.items()
                for marker, reason in reasons.items()
            ),
        ),
        caution=model.design.caution,
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
            by_edit.setdefault(comparison.edit, {})[comparison.name] = measured[comparison.name]
    changing = [name for name, edit in model.edits.items() if edit.members]
    return judge_knowledge(changing, model.design, read_evidence(model.facts), by_edit)


@cache
def example_review() -> Review:
    """Review ``example_model`` on the cells of ``example_comparison``.

    Example:
        >>> example_review().verdict()
        'Measured: on other cells (held out) the edit leaves 0.00 of what there is to correct (0 is noise, ...'
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


def _summary_row(rows: pd.DataFrame) -> dict[str, object]:
    row: dict[str, object] = dict(rows.iloc[0][["comparison", "kind"]])
    for metric in DECISIVE_NAMES:
        best = rows.loc[list(SIMPLE_METHODS), metric].astype(float).idxmin()
        row |= {
            f"{metric}_before": rows.at[NO_EDIT, metric],
            f"{metric}_after": rows.at[NEURONEDIT, metric],
            f"{metric}_best_simple": rows.at[best, metric],
            f"{metric}_best_simple_method": best,
            f"{metric}_floor": rows.at[FLOOR, metric],
        }
    return row | {"markers_worse": rows.at[NEURONEDIT, "markers_worse"]}


def _scalars(rows: pd.DataFrame) -> dict[str, float]:
    """The numbers of one comparison, or of the mean over several: a row for each method, a column for each score."""
    scalars = {}
    for metric in DECISIVE_NAMES:
        scores = rows[metric].astype(float)
        for method, suffix in {
            NEURONEDIT: "",
            NO_EDIT: "_no_edit",
            QUANTILE_MAP: "_quantile_map",
            FLOOR: "_floor",
        }.items():
            scalars[metric + suffix] = float(scores[method])
        gap = scores[NO_EDIT] - scores[FLOOR]
        # Over several comparisons this is the ratio of means, which a comparison with a tiny gap cannot blow up.
        scalars[f"{metric}_residual"] = float((scores[NEURONEDIT] - scores[FLOOR]) / gap) if gap > 0 else float("nan")
    return scalars | {"markers_worse": float(rows["markers_worse"].astype(float)[NEURONEDIT])}
