"""Next sample to measure: populations by how far autoencoders trained anew disagree about their edited events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuronedit.auto import Plan
from neuronedit.autoencoder import Autoencoder
from neuronedit.errors import DataError
from neuronedit.moments import rms
from neuronedit.percentiles import FloatArray
from neuronedit.review.neurons import Neurons
from neuronedit.steps import EditStep, Fitting, apply_steps, fit_steps

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Discrepancy:
    """How far fits disagree about the edited events of each population.

    Attributes:
        populations: Their names.
        events: Events of each.
        scores: (n_populations, n_markers) float64: root mean square over events of the standard deviation over fits,
            standard deviations of the marker.
        marker_names: (n_markers,) names, in the panel's order.
    """

    populations: tuple[str, ...]
    events: tuple[int, ...]
    scores: Doubles
    marker_names: tuple[str, ...]

    @property
    def over_markers(self) -> Doubles:
        """(n_populations,) float64: root mean square over markers."""
        return rms(self.scores, axis=1)

    def discrepancy_of(self, population: str) -> float:
        """One population's discrepancy: root mean square over markers."""
        return float(self.over_markers[self.populations.index(population)])

    def table(self) -> pd.DataFrame:
        """A row for each population, the one to be measured next first.

        Columns: population, events, discrepancy (root mean square over markers), marker (on which fits disagree most).
        """
        return pd.DataFrame(
            {
                "population": self.populations,
                "events": self.events,
                "discrepancy": self.over_markers,
                "marker": [self.marker_names[marker] for marker in self.scores.argmax(axis=1)],
            }
        ).sort_values("discrepancy", ascending=False, kind="stable", ignore_index=True)


def next_sample(
    subject: Neurons, refits: Sequence[Autoencoder], candidates: Mapping[str, FloatArray], seed: int
) -> Discrepancy:
    """Fit the edit's own plan for each autoencoder, and see on which candidates the edited events differ.

    Decoded edited events are compared. The edits' changes alone (the residual form) tell less: on planted cells with
    two refits they did not rank all types that were never trained on above all that were; the decoded events did, 0.36
    to 0.46 against 0.23 to 0.26.

    Args:
        subject: The model's source and target, on which every fit's edit is fitted, and its autoencoder.
        refits: Trained on the same populations from other seeds.
        candidates: (n_events, n_markers) float32 standardised markers, by population.
        seed: Draws events for fitting.

    Raises:
        DataError: There is no refit, or no candidate.
    """
    if not refits or not candidates:
        raise DataError(
            f"Next sample to measure: found {len(refits)} refits and {len(candidates)} candidates; expected at least "
            "one of each. Review the model with refits = 1 or more, and name the events that are to be edited."
        )
    made = [_made_by(fit, subject, candidates, seed) for fit in (subject.autoencoder, *refits)]
    scores = [np.sqrt(np.var([of[name] for of in made], axis=0).mean(axis=0)) for name in candidates]
    counts = tuple(len(events) for events in candidates.values())
    return Discrepancy(tuple(candidates), counts, np.stack(scores), subject.marker_names)


def plan_of(subject: Neurons) -> Plan:
    """The steps, ending with the decoder, that the heaviest member takes on neurons; else the paper's on the code."""
    latent = [member for member in subject.edit.members if member.steps[0].plan.latent]
    steps = max(latent, key=lambda member: member.weight).steps[:1] if latent else ()
    plan = [step.plan for step in steps] or [EditStep(layer=subject.layer)]
    return tuple(step.model_copy(update={"form": "plain"}) for step in plan)


def _made_by(
    fit: Autoencoder, subject: Neurons, candidates: Mapping[str, FloatArray], seed: int
) -> dict[str, FloatArray]:
    steps = fit_steps(fit, plan_of(subject), subject.source.markers, subject.target.markers, Fitting(seed=seed))
    return {name: apply_steps(steps, fit, events) for name, events in candidates.items()}
