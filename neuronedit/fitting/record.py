"""The record of a training in a model's facts: enough to add edits to the model later."""

import hashlib
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from pydantic import Field, ValidationError

from neuronedit.arrays import Float32s
from neuronedit.cells.draw import SampleConfig
from neuronedit.config import Config
from neuronedit.edits.plans import EditConfig
from neuronedit.errors import ModelError
from neuronedit.network.plan import TrainingPlan, without_retired


class PopulationRecord(Config):
    """One population that a model was trained on."""

    data: str = Field(description="the dataset that it was drawn from")
    sha256: str = Field(description="of the raw intensities drawn: whether the same are found again")


class TrainingRecord(Config):
    """The settings and populations of a model's training."""

    populations: dict[str, PopulationRecord] = Field(min_length=1, description="by name")
    goal: tuple[str, ...] = Field(min_length=1, description="the populations that edits lead to")
    sample: SampleConfig = Field(description="how events were drawn")
    training: TrainingPlan = Field(description="how the autoencoders learned")
    validation_loss: tuple[float, ...] = Field(min_length=1, description="of each autoencoder, on events held out")
    edit: EditConfig = Field(description="how edits were fitted")

    def facts(self) -> dict[str, Any]:
        """The record as JSON has it, for a model's facts."""
        return self.model_dump(mode="json") | {"edit": edit_facts(self.edit)}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], where: str) -> Self:
        """Read the record from a model's facts.

        Args:
            facts: The model's facts.
            where: The model's name, for the message.

        Raises:
            ModelError: Something is missing, or of another neuronedit.
        """
        try:
            recorded = {name: facts[name] for name in cls.model_fields}
            # The column that names an event's sample is the design's; it was the sampling's.
            sample = {name: value for name, value in recorded["sample"].items() if name != "sample_column"}
            current = {
                "sample": sample,
                "training": without_retired(recorded["training"]),
                "edit": _without_auto(recorded["edit"]),
            }
            return cls.model_validate(recorded | current)
        except KeyError as error:
            found = f"its facts lack {error}"
        except ValidationError as error:
            place = error.errors()[0]
            found = f"{'.'.join(map(str, place['loc']))}: {place['msg']}"
        raise ModelError(
            f"{where}: the model does not tell how it was trained ({found}); expected what this neuronedit's train "
            "records. Train it again, then update it."
        )


def _without_auto(edit: Any) -> Any:
    """Read the choice of a plan that older models record as the default, which took its place."""
    chosen = isinstance(edit, dict) and edit.get("preset") == "auto"
    return edit | {"preset": None} if chosen else edit


def edit_facts(edit: EditConfig) -> dict[str, Any]:
    """The settings of edits as JSON has them, for a model's facts.

    Example:
        >>> facts = edit_facts(EditConfig(preset="paper"))
        >>> facts["preset"], "steps" in facts
        ('paper', False)
    """
    # An empty plan of one's own is an error.
    return edit.model_dump(mode="json", exclude=None if edit.steps else {"steps"})


def population_records(intensities: Mapping[str, Float32s], place: str) -> dict[str, PopulationRecord]:
    """Record populations, raw events (n_events, n_markers) each, that were drawn from one dataset.

    Example:
        >>> records = population_records({"source": np.ones((2, 1), np.float32)}, "cells/")
        >>> records["source"].data, records["source"].sha256 == intensities_digest(np.ones((2, 1), np.float32))
        ('cells/', True)
    """
    return {
        name: PopulationRecord(data=place, sha256=intensities_digest(events)) for name, events in intensities.items()
    }


def intensities_digest(intensities: Float32s) -> str:
    """SHA-256 of raw intensities, (n_events, n_markers), as float32 in their order.

    Example:
        >>> one = np.ones((1, 1), np.float32)
        >>> intensities_digest(one) == hashlib.sha256(bytes.fromhex("0000803f")).hexdigest()
        True
    """
    return hashlib.sha256(np.ascontiguousarray(intensities, dtype=np.float32).tobytes()).hexdigest()
