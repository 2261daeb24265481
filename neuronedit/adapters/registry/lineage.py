"""Lineage: from an output's manifest to its model, the model's run and data, its review, and its parents.

A lineage is a tree of links, printed for people or as JSON; where a link is broken, it says so and ends there.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from neuronedit.adapters.files.storage import Location, locate
from neuronedit.adapters.registry.aliases import alias_moves
from neuronedit.adapters.registry.datasets import DIGEST_LENGTH
from neuronedit.adapters.registry.reviews import review_history
from neuronedit.adapters.registry.runs import TrackingConfig, use_store
from neuronedit.adapters.registry.tracker import is_missing, tracker_errors
from neuronedit.adapters.registry.versions import PARENT_TAG, find_version, pinned_model
from neuronedit.adapters.transform.manifest import read_manifest
from neuronedit.adapters.transform.output_folder import MODEL
from neuronedit.adapters.transform.plan import EXPORT, INGEST
from neuronedit.errors import ModelError, NeuroneditError, TrackingError
from neuronedit.model.saved.files import FACTS
from neuronedit.model.standing import DIGEST_TAG, REVIEWED_TAG, VERDICT_TAG, Standing


@dataclass(frozen=True)
class Trail:
    """One link of a lineage, with the links that it came from.

    Attributes:
        kind: ``output``, ``input``, ``model``, ``run`` or ``data``.
        title: Its name, for people.
        facts: Known facts by name; each item of a list is a line of its own.
        problems: A sentence for each broken link here: the place, the expected, the found.
        origins: The links that it came from.
    """

    kind: str
    title: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    origins: tuple["Trail", ...] = ()

    @property
    def broken(self) -> list[str]:
        """Every problem along the trail."""
        return [*self.problems, *(problem for origin in self.origins for problem in origin.broken)]

    def to_json(self) -> dict[str, Any]:
        """The link and its origins, as JSON has them."""
        return {
            "kind": self.kind,
            "title": self.title,
            "facts": dict(self.facts),
            "problems": list(self.problems),
            "origins": [origin.to_json() for origin in self.origins],
        }

    def tree(self) -> str:
        """The link and its origins as text: a line for each fact, origins indented below their link."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.kind} {self.title}"
        lines = [*self._fact_lines(), *(f"!! {problem}" for problem in self.problems)]
        bar = "│" if self.origins else " "
        yield from (f"{bar}    {line}" for line in lines)
        for index, origin in enumerate(self.origins):
            last = index == len(self.origins) - 1
            first, *rest = origin._lines()
            yield f"{'└─' if last else '├─'} {first}"
            yield from (f"{' ' if last else '│'}  {line}" for line in rest)

    def _fact_lines(self) -> Iterator[str]:
        for name, value in self.facts.items():
            if isinstance(value, list):
                yield from (f"{name}: {item}" for item in value)
            elif value not in (None, ""):
                yield f"{name}: {value}"


NOT_REGISTERED: Final = "no: it was given as a folder"


def trace_output(uri: str, store: str | None = None) -> Trail:
    """Follow an output back as far as its links hold; where one is broken, the trail says so and ends there.

    Args:
        uri: The folder that an ingest, transform or export wrote.
        store: MLflow's; by default the one that the manifest names.

    Raises:
        OutputError: There is no manifest: the folder is not a finished output of an ingest, transform or export.
        StorageError: The storage does not answer.
        TrackingError: MLflow stops to answer on the way.
    """
    manifest = read_manifest(uri)
    if manifest.get("job") == INGEST:
        return Trail("output", uri, _output_facts(manifest), (), (_input(manifest),))
    if manifest.get("job") == EXPORT:
        return Trail("output", uri, _output_facts(manifest), (), (_exported(manifest, store),))
    store = store or manifest["model"].get("registry")
    try:
        use_store(TrackingConfig(uri=store))
        unreachable = ""
    except TrackingError as error:
        unreachable = f"the registry is unreachable. {error}"
    origins = [_input(manifest), _model(locate(uri), manifest, unreachable)]
    if not unreachable and manifest.get("run"):
        origins.insert(1, _run(manifest["run"]))
    return Trail("output", uri, _output_facts(manifest), (), tuple(origins))


def _output_facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "events": manifest["events"],
        "files": len(manifest["outputs"]),
        "left out": len(manifest["left_out"]),
        "finished": manifest["finished"],
        "neuronedit": manifest["neuronedit"],
    }


def _exported(manifest: Mapping[str, Any], store: str | None) -> Trail:
    """The input of an export, traced where it is the output of a transform."""
    try:
        traced = trace_output(manifest["input"], store)
    except NeuroneditError as error:
        model = manifest["model"].get("uri")
        problems = (f"{manifest['input']}: it was edited by {model}. {error}",) if model else ()
        return replace(_input(manifest), problems=problems)
    return traced


def _input(manifest: Mapping[str, Any]) -> Trail:
    facts = {
        "files": len(manifest["inputs"]),
        "events": sum(file["events"] for file in manifest["inputs"]),
        "sha256 of names, rows and sizes": manifest.get("input_sha256"),
    }
    return Trail("input", manifest["input"], facts)


def _model(output: Location, manifest: Mapping[str, Any], unreachable: str) -> Trail:
    """The model that made the output: from the registry where it answers, else from the copy in the output."""
    noted = manifest["model"]
    gates = noted.get("gates") or {}
    facts = {
        "asked for as": manifest["config"].get("model"),
        "sha256": noted["sha256"],
        "gates when it was applied": gates.get("state"),
        "override when it was applied": _answer_or_none(gates["override"]) if gates.get("override") else None,
        "warned of": list(manifest.get("scope", {}).get("warnings", [])),
    }
    kept, problems = _kept_model(output, noted["sha256"])
    data = (_data(kept),) if kept else ()
    if not noted["uri"].startswith("models:"):
        return Trail("model", noted["uri"], facts | {"registered": NOT_REGISTERED}, problems, data)
    if unreachable:
        return Trail("model", noted["uri"], facts, (*problems, f"{noted['uri']}: {unreachable}"), data)
    traced = trace_version(noted["uri"], noted["sha256"])
    origins = traced.origins or data
    return Trail("model", noted["uri"], {**facts, **traced.facts}, (*problems, *traced.problems), origins)


def _kept_model(output: Location, digest: str) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """The facts of the model whose copy lies in the output, and what is wrong with it."""
    location = output / MODEL / FACTS
    if not location.exists:
        return None, (f"{location.path}: the model's copy is missing from the output.",)
    content = location.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        return None, (f"{location.path}: not the model that the manifest names (SHA-256 differs).",)
    return json.loads(content)["facts"], ()


def trace_version(uri: str, digest: str | None = None, seen: tuple[str, ...] = ()) -> Trail:
    """A model version, its review, its run, the data that it learned from, and its parent.

    Args:
        uri: ``models:/NAME/VERSION``.
        digest: Its expected digest; None if it is not known.
        seen: Its descendants, which it cannot come from.
    """
    if not uri.startswith("models:"):
        return Trail("model", uri, {"registered": NOT_REGISTERED})
    try:
        found = find_version(uri)
    except ModelError as error:
        return Trail("model", uri, {}, (str(error),))
    digest = digest or found.tags.get(DIGEST_TAG)
    facts: dict[str, Any] = {}
    try:
        pinned = pinned_model(uri)
        facts, problems = dict(pinned.model.facts), _digest_problems(uri, digest, found, pinned.digest)
    except TrackingError:
        raise
    except NeuroneditError as error:
        problems = (str(error),)
    if gates := Standing.from_tags(found.tags).problem:
        problems = (*problems, f"{uri}: {gates}.")
    origins = [_run(found.run_id, facts)] if found.run_id else []
    parent = found.tags.get(PARENT_TAG)
    if parent in (uri, *seen):
        problems = (*problems, f"{uri}: its tag {PARENT_TAG} names {parent}, which comes from it.")
    elif parent:
        origins.append(trace_version(parent, None, (uri, *seen)))
    return Trail("model", uri, _version_facts(found), problems, tuple(origins))


def _digest_problems(uri: str, expected: str | None, found: ModelVersion, digest: str) -> tuple[str, ...]:
    tagged = found.tags.get(DIGEST_TAG)
    found_digests = {"its files have": digest, f"its tag {DIGEST_TAG} has": tagged}
    return tuple(
        f"{uri}: expected the model with the SHA-256 {expected}, but {what} {other or 'none'}. The version was changed "
        "after it was registered or used."
        for what, other in found_digests.items()
        if other != expected
    )


def _version_facts(found: ModelVersion) -> dict[str, Any]:
    standing = Standing.from_tags(found.tags)
    with tracker_errors():
        moves = alias_moves(MlflowClient().get_registered_model(found.name).tags)
    return {
        "registered": _moment(found.creation_timestamp),
        "review": found.tags.get(REVIEWED_TAG, "never reviewed"),
        "verdict": found.tags.get(VERDICT_TAG),
        "reviewed": [record.sentence for record in review_history(found.tags)],
        **standing.scope.facts(),
        "gates": standing.state,
        "gate": [f"{name} {text}" for name, text in standing.recorded.items()],
        "override": _answer_or_none(standing.facts()["override"]) if standing.override else None,
        "aliases": ", ".join(found.aliases) or None,
        "alias moved": [move.sentence for move in moves if str(found.version) in (move.before, move.after)],
    }


def _answer_or_none(override: Mapping[str, Any]) -> str:
    return f"{override['time']} by {override['user']} for {', '.join(override['gates'])}: {override['reason']}"


def _run(run_id: str, facts: Mapping[str, Any] | None = None) -> Trail:
    """A run; of a training, also the data that it learned from, by the model's facts."""
    data = (_data(facts),) if facts else ()
    with tracker_errors():
        try:
            run = MlflowClient().get_run(run_id)
        except MlflowException as error:
            if not is_missing(error):
                raise
            return Trail("run", run_id, {}, (f"run {run_id}: it was deleted for good ({error.message}).",), data)
    problems = []
    if run.info.lifecycle_stage == "deleted":
        problems.append(f"run {run_id}: it was deleted. To bring it back: mlflow runs restore --run-id {run_id}")
    if facts and not _read_by(run, facts):
        problems.append(f"run {run_id}: it did not record the data that the model says it learned from.")
    run_facts = {
        "job": run.data.tags.get("neuronedit.job"),
        "status": run.info.status,
        "started": _moment(run.info.start_time),
        "by": run.data.tags.get("mlflow.user"),
    }
    return Trail("run", run_id, run_facts, tuple(problems), data)


def _read_by(run: Run, facts: Mapping[str, Any]) -> bool:
    """Whether the run has recorded the data that a model names; a model of another make names none."""
    sha256 = facts.get("data", {}).get("sha256")
    read = [entry.dataset for entry in run.inputs.dataset_inputs]
    # The digest is of the files alone, or of the populations that were used, too; then the profile has the files'.
    return sha256 is None or any(
        sha256[:DIGEST_LENGTH] == each.digest or sha256 in (each.profile or "") for each in read
    )


def _data(facts: Mapping[str, Any]) -> Trail:
    data = facts.get("data", {})
    data_facts = {
        "files": data.get("files"),
        "events": data.get("events"),
        "sha256 of names, rows and sizes": data.get("sha256"),
        "populations": ", ".join(f"{name} {n:,}" for name, n in facts.get("events", {}).items()) or None,
    }
    return Trail("data", data.get("uri", "not known: the model does not say"), data_facts)


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
