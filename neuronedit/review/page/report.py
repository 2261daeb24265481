"""The review as data: everything that the page shows, as tables, sentences and numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd

from neuronedit.edits.baselines import LATENT_MEAN, MEAN_SHIFT, NO_EDIT, QUANTILE_MAP
from neuronedit.measures.distances import DECISIVE_NAMES, FLOOR
from neuronedit.measures.evidence import EditEvidence, Knowledge
from neuronedit.model.gates import GATE_COLUMNS, Gate
from neuronedit.model.scope import NO_SCOPE, Scope
from neuronedit.review.page.decision import Decision, decide
from neuronedit.review.page.edit_review import EditReview
from neuronedit.review.part import Part, slug
from neuronedit.review.populations.mix_note import MixNote
from neuronedit.review.transfer.densities import Histograms
from neuronedit.review.transfer.transfer import HELD_OUT, NEURONEDIT
from neuronedit.review.transfer.verdict import Verdict, decisive_kind, judge_comparisons

LOSS_COLUMNS = ["epoch", "train_loss", "validation_loss"]

SIMPLE_METHODS = (MEAN_SHIFT, QUANTILE_MAP, LATENT_MEAN)


HEADLINE: Final[Mapping[str, str]] = {
    "emd_no_edit": "emd_before",
    "emd": "emd_after",
    "emd_quantile_map": "emd_quantile_map",
    "energy_no_edit": "energy_before",
    "energy": "energy_after",
    "markers_worse": "markers_worse",
}
"""The means that are headline metrics, by their names there; with ``unsupported`` and ``error`` they are eight."""


@dataclass(frozen=True, eq=False)
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
        cells: Names of the cells that the edits are to be applied to; empty where none are named.
        restrictions: Sentences on what whoever uses the model must know, the gravest first.
        doubted: Why the model is to be used with care, whatever its gates say; mostly empty.
        parts: Views of the comparison to look at first, as cytometrists know them.
        histograms: By comparison, cell type and marker.
        mix: How much of an edit may be another mix of cell types; None where it was not looked at.
        known: What is known of how each edit carries over to samples that it was not fitted on.
        evidence: What was found of each edit by leaving samples and kinds of cell out, by its name.
        scope: The populations that the model is reviewed for, and not for.
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
    cells: tuple[str, ...] = ()
    restrictions: tuple[str, ...] = ()
    doubted: str = ""
    parts: tuple[Part, ...] = ()
    histograms: Histograms = field(default_factory=dict)
    mix: MixNote | None = None
    known: tuple[Knowledge, ...] = ()
    evidence: Mapping[str, EditEvidence] = field(default_factory=dict)
    scope: Scope = NO_SCOPE
    lost: str = ""

    @property
    def decision(self) -> Decision:
        """What to do with the model."""
        return decide(self.gates, self.verdicts, self.known, self.cells, self.lost, doubted=self.doubted)

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
        """Numbers for MLflow, all finite, none of them twice.

        ``headline/`` has eight that decide: means over the comparisons that the verdict rests on, the largest share of
        unsupported events, and the error where the edits are to be applied. ``review/`` has all others: further means
        over each kind of comparison, the comparisons' own where a kind has several, and the parts' of each edit.
        """
        scalars = self._headline() | {"review/recon_mse": float(self.reconstruction["mse"].mean())}
        for kind, rows in self.methods.groupby("kind", sort=False):
            further = HEADLINE if kind == decisive_kind(self.methods) else {}
            numbers = {name: value for name, value in _mean_scalars(rows).items() if name not in further}
            scalars |= _under(f"review/{slug(str(kind))}_", numbers)
            if rows["comparison"].nunique() > 1:
                for name, own in rows.groupby("comparison", sort=False):
                    scalars |= _under(f"review/transfer/{slug(str(name))}/", _scalars(own.set_index("method")))
        for edit in self.edits:
            # The first edit's numbers stand for the model in the compare view; others have the edit's name.
            begin = "review/" if edit is self.edits[0] else f"review/edit/{slug(edit.edit)}/"
            scalars |= _under(begin, edit.scalars)
        return {name: value for name, value in scalars.items() if np.isfinite(value)}

    def held_out_scalars(self) -> list[str]:
        """Give the names of those scalars that were measured on held-out events."""
        held_out = self.methods[self.methods["kind"] == HELD_OUT]
        if held_out.empty:
            return []
        named = [f"review/transfer/{slug(str(name))}/" for name in held_out["comparison"].unique()]
        begins = ("headline/", f"review/{slug(HELD_OUT)}_", *named)
        return [name for name in self.scalars() if name.startswith(begins)]

    def _headline(self) -> dict[str, float]:
        means = _mean_scalars(self.methods[self.methods["kind"] == decisive_kind(self.methods)])
        errors = [gate.value for gate in self.gates if gate.name == "expected_error" and gate.value is not None]
        unsupported = [each.found.unsupported for each in self.scope.populations]
        numbers = {name: means[scalar] for scalar, name in HEADLINE.items()}
        numbers |= {"unsupported": max(unsupported, default=np.nan), "error": max(errors, default=np.nan)}
        return _under("headline/", numbers)

    def _by_comparison(self) -> list[tuple[str, pd.DataFrame]]:
        return [(str(name), rows) for name, rows in self.methods.groupby("comparison", sort=False)]


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


def _mean_scalars(rows: pd.DataFrame) -> dict[str, float]:
    """The numbers of the means over comparisons: of a method table's rows of one kind."""
    return _scalars(rows.groupby("method", sort=False)[[*DECISIVE_NAMES, "markers_worse"]].mean())


def _under(begin: str, numbers: Mapping[str, float]) -> dict[str, float]:
    return {f"{begin}{name}": value for name, value in numbers.items()}


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
