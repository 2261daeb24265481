"""Neuron editing as a scikit-learn transformer, in this process: neither Ray nor MLflow is needed."""

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from neuronedit.arrays import Float32s, Floats, Texts
from neuronedit.cells.design import INVERSE, MIN_POPULATION_EVENTS, ControlsDesign, PairDesign
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.cells.panel import Panel
from neuronedit.cells.transforms import MASS_COFACTOR, Transform, one_each
from neuronedit.edits.plans import EditConfig
from neuronedit.estimator.domains import (
    DomainEdits,
    Kind,
    as_texts,
    as_value_errors,
    name_of,
    population_rows,
    target_of,
)
from neuronedit.fitting.edits import EXPECTED
from neuronedit.fitting.fit import fit_model
from neuronedit.model.edit_model import EditModel
from neuronedit.model.route import UnknownBatch
from neuronedit.model.saved.files import load_model, save_model
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan

DOMAIN, SAMPLE = "domain", "sample"
"""The columns that a model's design names, where domains and samples come without a name of their own."""
FLOATS = (np.float64, np.float32)
"""What intensities may be; others are made the first."""


def _has_inverse(estimator: "NeuronEdit") -> bool:
    model = getattr(estimator, "model_", None)
    if model is not None:
        return any(name.endswith(INVERSE) for name in model.edits)
    return bool(estimator.edit and estimator.edit.inverse)


class NeuronEdit(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Learn a change between domains of cells, and make it on others: a scikit-learn transformer.

    A *pair* leads the rows of ``source`` to those of ``target``, and then any rows. *Controls* lead each domain, say a
    batch with a control sample, to the domain ``target``; what is transformed then comes with its domain.

    Rows are events, columns are markers with raw intensities. What is learned is what ``fit_model`` learns.

    Args:
        kind: ``pair`` or ``controls``.
        source: A pair's domain to lead from; by default all domains but the target. Rows of no side are trained on.
        target: The domain to lead to, by default the last in order; for controls it may be ``pooled``, all together.
        transforms: The markers' transforms: a number is arcsinh's cofactor (5 for mass, 150 for fluorescence
            cytometry), ``Linear()`` takes values as they are; one for all markers, or one for each.
        edit: Settings of the edits; by default ``EditConfig()``.
        network: The autoencoder's layers; by default ``Architecture()``.
        training: The training plan; by default ``TrainingPlan()``, with ``random_state`` for its seed.
        ensemble: Number of autoencoders, whose changes are averaged.
        strength: The share of the change that is made.
        unknown_domain: ``error``, or ``pass`` to leave rows of domains without an edit as they are (controls).
        min_events: The fewest rows of a domain to learn from; below 50 percentiles are poor.
        random_state: Seed of training and draws.

    Attributes:
        model_: The fitted ``EditModel``, the very artefact of the jobs.
        target_: The domain that is led to; empty for a pair that was read from a folder, which names none.
        edits_: The edits' names: ``pair``, or the domains that are led to the target.
        expected_error_: The edits' mean expected extrapolation error: 0 is noise, 1 is doing nothing; NaN if unknown.
        n_features_in_: The number of markers.
        feature_names_in_: Their names, where they were given.

    Example:
        Two markers of 300 cells, of which the second half had a treatment that doubles the first:

        >>> import numpy as np
        >>> from neuronedit import Architecture, EditConfig, NeuronEdit, TrainingPlan
        >>> cells = np.random.default_rng(0).lognormal(3.0, 0.5, (600, 2))
        >>> cells[300:, 0] *= 2
        >>> treated = np.repeat(["no", "yes"], 300)
        >>> small = {"network": Architecture(hidden=(8,), code=2), "training": TrainingPlan(epochs=2)}
        >>> learned = NeuronEdit(edit=EditConfig(preset="quantile-map"), **small).fit(cells, treated)
        >>> other = np.random.default_rng(2).lognormal(3.0, 0.5, (100, 2))
        >>> [round(float(ratio)) for ratio in np.median(learned.transform(other) / other, axis=0)]
        [2, 1]

        Batches, each with rows of one control, led to the first; a batch's samples then come with its name:

        >>> batches = NeuronEdit(kind="controls", target="no", edit=EditConfig(preset="quantile-map"), **small)
        >>> corrected = batches.fit(cells, treated).transform(2 * other, domain=np.repeat("yes", 100))
        >>> batches.edits_, round(float(np.median(corrected[:, 0] / other[:, 0])))
        (('yes',), 1)

    Source: the conventions of scikit-learn's developer guide; all of its ``check_estimator`` pass.
    """

    def __init__(
        self,
        *,
        kind: Kind = "pair",
        source: Any = None,
        target: Any = None,
        transforms: float | Transform | Sequence[float | Transform] = MASS_COFACTOR,
        edit: EditConfig | None = None,
        network: Architecture | None = None,
        training: TrainingPlan | None = None,
        ensemble: int = 1,
        strength: float = 1.0,
        unknown_domain: UnknownBatch = "error",
        min_events: int = MIN_POPULATION_EVENTS,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.kind = kind
        self.source = source
        self.target = target
        self.transforms = transforms
        self.edit = edit
        self.network = network
        self.training = training
        self.ensemble = ensemble
        self.strength = strength
        self.unknown_domain = unknown_domain
        self.min_events = min_events
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        """Say that domains are needed, and that float32 stays float32."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample: npt.ArrayLike | None = None) -> Self:
        """Train autoencoders on all rows, then fit the edits.

        Args:
            X: (n_events, n_markers) raw intensities.
            y: (n_events,) the domain of each row; a series' name is the batch column of the model.
            sample: (n_events,) what a new application is a new draw of, a donor or a plate; each of several samples is
                left out in turn, to tell beforehand how the edit carries over to another.

        Raises:
            ValueError: A domain is unknown or has too few rows, values are not finite, or lengths differ.
        """
        domain, sampled = name_of(y, DOMAIN), None if sample is None else name_of(sample, SAMPLE)
        events, y = validate_data(self, X, y, dtype=FLOATS)
        domains = as_texts(y, "y", len(events))
        samples = None if sample is None else as_texts(sample, "sample", len(events))
        rows = population_rows(domains, self.kind, self.source, self.target, self.min_events)
        target = target_of(domains, self.target)
        pair, controls = PairDesign.of_arrays(sampled), ControlsDesign.of_arrays(target, domain, sampled)
        markers = getattr(self, "feature_names_in_", [f"x{column}" for column in range(self.n_features_in_)])
        with as_value_errors():
            fitted = fit_model(
                DrawnPopulations(
                    {name: events[chosen].astype(np.float32) for name, chosen in rows.items()},
                    {name: len(chosen) for name, chosen in rows.items()},
                    samples={} if samples is None else {name: samples[chosen] for name, chosen in rows.items()},
                ),
                Panel(list(map(str, markers)), one_each(self.transforms, self.n_features_in_)),
                pair if self.kind == "pair" else controls,
                network=self.network,
                training=self._training(),
                edit=self.edit,
                ensemble=self.ensemble,
            )
        return self._adopt(fitted.model, target)

    def fit_transform(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample: npt.ArrayLike | None = None,
        domain: npt.ArrayLike | None = None,
    ) -> Floats:
        """Fit, then edit the same rows: of a pair all of them, the target's too; of controls each by its domain.

        Args:
            X: (n_events, n_markers) raw intensities.
            y: (n_events,) the domain of each row.
            sample: See ``fit``.
            domain: See ``transform``; for controls by default y.

        Raises:
            ValueError: See ``fit`` and ``transform``.
        """
        of_controls = self.kind == "controls" and domain is None
        return self.fit(X, y, sample).transform(X, y if of_controls else domain)

    def transform(self, X: npt.ArrayLike, domain: npt.ArrayLike | None = None) -> Floats:
        """Edit rows.

        Args:
            X: (n_events, n_markers) raw intensities.
            domain: (n_events,) the domain of each row. Controls need it. Of a pair, rows of the target's domain stay as
                they are, and all others are edited, also those of domains that were never seen.

        Returns:
            (n_events, n_markers): float32 for float32, otherwise float64; values that are not moved, bit for bit.

        Raises:
            ValueError: A domain has no edit, the markers are others, or a value is not finite.
        """
        check_is_fitted(self)
        return self._by_domain.edited(*self._events(X, domain), self.strength)

    @available_if(_has_inverse)  # type: ignore[untyped-decorator]
    def inverse_transform(self, X: npt.ArrayLike, domain: npt.ArrayLike | None = None) -> Floats:
        """Lead rows back from the target, by edits that are fitted for it with ``EditConfig(inverse=True)``.

        Args:
            X: (n_events, n_markers) raw intensities.
            domain: (n_events,) the domain to lead each row to; controls need it.

        Raises:
            ValueError: A domain has no edit, the markers are others, or a value is not finite.
        """
        check_is_fitted(self)
        return self._by_domain.edited(*self._events(X, domain), self.strength, INVERSE)

    def support(self, X: npt.ArrayLike, domain: npt.ArrayLike | None = None) -> Float32s:
        """Score how far each row is from those that its edit was learned on: above 1, there was nothing like it.

        Args:
            X: (n_events, n_markers) raw intensities.
            domain: (n_events,) the domain of each row; controls need it.

        Returns:
            (n_events,) float32, NaN for a row without an edit.

        Raises:
            ValueError: A domain has no edit, the markers are others, or a value is not finite.
        """
        check_is_fitted(self)
        return self._by_domain.support(*self._events(X, domain))

    def score(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None) -> float:
        """Give minus the expected extrapolation error, by which ``GridSearchCV`` may choose.

        It was measured on events left out when the edits were fitted: X needs the same markers, but is not scored.
        """
        check_is_fitted(self)
        validate_data(self, X, dtype=FLOATS, reset=False)
        return -self.expected_error_

    def to_model_folder(self, path: str | Path) -> None:
        """Save the model into a folder that the jobs take, and ``load_model`` reads.

        Raises:
            ValueError: The folder exists.
        """
        check_is_fitted(self)
        with as_value_errors():
            save_model(self.model_, path)

    @classmethod
    def from_model_folder(cls, path: str | Path) -> Self:
        """Make a fitted transformer of a model's folder, whoever fitted it.

        Raises:
            ValueError: There is no model in the folder.
        """
        with as_value_errors():
            model = load_model(path)
        target = model.design.reference if isinstance(model.design, ControlsDesign) else None
        estimator = cls(kind=model.design.kind, target=target, transforms=model.panel.transforms)
        estimator.n_features_in_ = model.panel.n_markers
        estimator.feature_names_in_ = np.array(model.panel.markers, dtype=object)
        return estimator._adopt(model, target or "")

    def _adopt(self, model: EditModel, target: str) -> Self:
        self.model_, self.target_ = model, target
        self.edits_ = tuple(name for name in model.edits if not name.endswith(INVERSE))
        errors = [model.facts.get(EXPECTED, {}).get(name) for name in self.edits_]
        known = [error for error in errors if error is not None and np.isfinite(error)]
        self.expected_error_ = float(np.mean(known)) if known else float("nan")
        return self

    def _training(self) -> TrainingPlan:
        state = self.random_state
        seed = state if isinstance(state, Integral) else check_random_state(state).randint(2**31 - 1)
        return (self.training or TrainingPlan()).model_copy(update={"seed": int(seed)})

    def _events(self, X: npt.ArrayLike, domain: npt.ArrayLike | None) -> tuple[Floats, Texts | None]:
        events: Floats = validate_data(self, X, dtype=FLOATS, reset=False)
        return events, None if domain is None else as_texts(domain, "domain", len(events))

    @property
    def _by_domain(self) -> DomainEdits:
        return DomainEdits(self.model_, self.target_, self.unknown_domain)
