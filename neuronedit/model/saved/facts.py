"""The facts of a saved model, its ``model.json``: read within bounds, each of the type and size that a model has."""

import json
from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from neuronedit.cells.design import Design
from neuronedit.cells.panel import Role
from neuronedit.edits.auto import PlanChoice
from neuronedit.edits.steps import EditStep
from neuronedit.errors import ModelError
from neuronedit.network.autoencoder import Architecture

MAX_FACTS_BYTES = 64 * 1024**2
"""A thousand edits, each a blend of all plans for an ensemble of five, have 20 MB of facts."""

MAX_DEPTH = 32
"""Tables and lists within one another; a model's own facts have eight."""

MAX_LAYERS = 1_000
"""Hidden layers of the encoder."""

MAX_COUNT = 1_000_000
"""The most that a model's file may count of anything, autoencoders or neurons, before arrays are compared with it."""

TABLES = ("data", "events", "parent", "search", "training", "extrapolation", "evidence", "update")
"""Further facts that others look into; the rest is only shown."""

REMEDY = "Restore the model's folder from a good copy, or train the model again."

Number = int | Annotated[float, Field(allow_inf_nan=False)]


class _Facts(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class TransformFacts(_Facts):
    """A transform's name, and its parameters beside it."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Number] = Field(init=False)

    name: str


class PanelFacts(_Facts):
    """Markers, and their transforms: cofactors of arcsinh (format 3), or a table for each (format 4)."""

    markers: list[str] = Field(min_length=1)
    cofactors: list[Number] | None = None
    transforms: list[TransformFacts] | None = None
    roles: dict[str, Role] = Field(default_factory=dict)
    """Of the markers that have one; in format 4 alone."""


class MemberFacts(_Facts):
    """One plan of an edit."""

    plan: str
    weight: Annotated[Number, Field(ge=0, le=1)]
    autoencoder: int = Field(ge=0)
    steps: list[EditStep] = Field(min_length=1)


class ChoiceFacts(_Facts):
    """How an edit's plan was chosen."""

    weights: dict[str, Number] = Field(min_length=1)
    errors: dict[str, Number | None]
    left_out_error: Number | None
    within_error: Number | None
    without_neurons_error: Number | None

    def choice(self) -> PlanChoice:
        """Give the choice itself."""
        return PlanChoice.from_facts(self.model_dump())


class EditFacts(_Facts):
    """One edit; its members' weights sum to 1, no member does nothing."""

    members: list[MemberFacts]
    shrinks: bool
    choice: ChoiceFacts | None
    unlearnable: dict[str, str] = Field(default_factory=dict)
    """Reasons by marker; models of before the first that looked for such markers have none."""
    unmoved: list[str] = Field(default_factory=list)

    @field_validator("members")
    @classmethod
    def _whole(cls, members: list[MemberFacts]) -> list[MemberFacts]:
        total = sum(member.weight for member in members)
        if members and abs(total - 1) > 1e-3:
            raise ValueError(f"the members' weights sum to {total:g}; expected 1")
        return members


class ModelFacts(_Facts):
    """All of ``model.json``; keys that are not named here are passed over."""

    arrays_sha256: str
    panel: PanelFacts
    architecture: Architecture
    design: Design
    autoencoders: int = Field(ge=1, le=MAX_COUNT)
    edits: dict[str, EditFacts]
    facts: dict[str, Any]

    @field_validator("architecture", mode="before")
    @classmethod
    def _architecture(cls, recorded: Any) -> Any:
        """Older models also record in which blocks the code's neurons compete."""
        if not isinstance(recorded, dict):
            return recorded
        block = recorded.get("competitive", 1)
        if block != 1:
            raise ModelError(
                f"expected a code whose neurons do not compete, found architecture.competitive = {block!r}. Use the "
                "neuronedit that wrote the model, or train it again without autoencoder.competitive."
            )
        hidden = recorded.get("hidden")
        if isinstance(hidden, list) and len(hidden) > MAX_LAYERS:
            raise ValueError(f"the encoder has {len(hidden):,} hidden layers; expected at most {MAX_LAYERS:,}")
        return {name: value for name, value in recorded.items() if name != "competitive"}

    @field_validator("architecture")
    @classmethod
    def _not_huge(cls, architecture: Architecture) -> Architecture:
        widest = max((*architecture.hidden, architecture.code))
        if widest > MAX_COUNT:
            raise ValueError(f"a layer has {widest:,} neurons; expected at most {MAX_COUNT:,}")
        return architecture

    @field_validator("facts")
    @classmethod
    def _tables(cls, facts: dict[str, Any]) -> dict[str, Any]:
        wrong = [name for name in TABLES if not isinstance(facts.get(name, {}), dict | None)]
        if wrong:
            raise ValueError(f"{wrong[0]} is no table")
        return facts

    @model_validator(mode="after")
    def _numbered(self) -> Self:
        for name, edit in self.edits.items():
            for member in edit.members:
                if member.autoencoder >= self.autoencoders:
                    raise ValueError(
                        f"the edit {name!r} is for autoencoder {member.autoencoder} of {self.autoencoders}"
                    )
        return self


def parse_json(content: bytes, where: str) -> Any:
    """Read JSON that is neither huge nor deeply nested.

    Args:
        content: The bytes of a file.
        where: The file, for the message.

    Raises:
        ModelError: It is damaged, too long, or too deep.

    Example:
        >>> parse_json(b'{"format": 4}', "model.json")
        {'format': 4}
    """
    if len(content) > MAX_FACTS_BYTES:
        raise ModelError(f"{where}: {len(content):,} bytes; expected at most {MAX_FACTS_BYTES:,}. {REMEDY}")
    try:
        read = json.loads(content)
    except RecursionError as error:
        raise _too_deep(where) from error
    except ValueError as error:
        raise ModelError(f"{where}: damaged, not valid JSON ({error}). Restore the model's folder.") from error
    level = [read]
    for _ in range(MAX_DEPTH):
        level = [part for value in level for part in _parts(value)]
    if level:
        raise _too_deep(where)
    return read


def parse_facts(read: Any, where: str) -> ModelFacts:
    """Check that all facts are there, of the right types.

    Args:
        read: What ``parse_json`` read.
        where: The file, for the message.

    Raises:
        ModelError: A fact is missing, or of another type.

    Example:
        >>> parse_facts({}, "model.json")
        Traceback (most recent call last):
        neuronedit.errors.ModelError: model.json: incomplete model (arrays_sha256: Field required). Restore ...
    """
    try:
        return ModelFacts.model_validate(read)
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "all of it"
        found = "" if first["type"] == "missing" or not first["loc"] else f"; found {short(first['input'])}"
        problem = first["msg"].removeprefix("Value error, ")
        raise ModelError(f"{where}: incomplete model ({place}: {problem}{found}). {REMEDY}") from error


def short(value: Any) -> str:
    """Show a value that may be huge.

    Example:
        >>> short("CD4"), short([1, 2, 3])
        ("'CD4'", 'list of 3')
    """
    if isinstance(value, dict | list):
        return f"{type(value).__name__} of {len(value)}"
    # Numbers may have more digits than Python writes.
    huge = isinstance(value, int) and abs(value) > MAX_COUNT**3
    return "a huge number" if huge else repr(value)[:60]


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep(where: str) -> ModelError:
    return ModelError(f"{where}: nested more than {MAX_DEPTH} deep, as no model is. {REMEDY}")
