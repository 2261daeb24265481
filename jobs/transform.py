"""Apply a model: ``python jobs/transform.py CONFIG.toml --set section.key=value``."""

import logging
from functools import partial
from time import monotonic
from typing import Any, Literal

from pydantic import Field, PositiveInt

from neuronedit.adapters.cluster.command import JobCommand
from neuronedit.adapters.cluster.session import GpuShare, RayConfig, ray_session
from neuronedit.adapters.files.blocks import file_parts
from neuronedit.adapters.files.dataset import DataConfig, check_unchanged, list_dataset
from neuronedit.adapters.registry.promotion import check_usable
from neuronedit.adapters.registry.results import transform_results
from neuronedit.adapters.registry.runs import TrackingConfig, connect, tracked_run
from neuronedit.adapters.registry.unlogged import NOT_LOGGED, log_or_keep
from neuronedit.adapters.registry.versions import pinned_model
from neuronedit.adapters.sampling.applied_events import look_ahead, naming_values
from neuronedit.adapters.transform.committed import Layout
from neuronedit.adapters.transform.event_editor import TransformRules
from neuronedit.adapters.transform.file_transformer import FileRules
from neuronedit.adapters.transform.manifest import OutputOrigin, make_manifest, summary
from neuronedit.adapters.transform.output_folder import claimed_output
from neuronedit.adapters.transform.plan import TransformPlan
from neuronedit.adapters.transform.pool import transform_parts
from neuronedit.cells.selection import Where
from neuronedit.config import Config
from neuronedit.edits.students.student import Server
from neuronedit.errors import masked
from neuronedit.model.quality.table import manifest_facts, quality_scalars, quality_table
from neuronedit.model.quality.tally import Tally
from neuronedit.model.quality.unsupported import (
    Application,
    check_unsupported,
    measured_support,
    scope_facts,
    told_warnings,
)
from neuronedit.model.route import Route, UnknownBatch
from neuronedit.review.job_figures import quality_figure

log = logging.getLogger(__name__)


class TransformConfig(Config):
    """Apply a pinned model to a Parquet dataset."""

    data: DataConfig = Field(description="the events to edit")
    model: str = Field(description="models:/NAME/VERSION, models:/NAME@ALIAS, or a model's folder")
    output: str = Field(description="the folder or URI of the Parquet dataset to write")
    where: Where = Field(
        {}, description="edit only events with these column values (pair designs); others pass as they are"
    )
    unknown_batch: UnknownBatch = Field(
        "error",
        description="pass: leave events of unknown batches as they are, flagged in the column neuronedit",
    )
    edits: tuple[str, ...] = Field(
        (),
        description="edits to apply one after another to every chosen event, in place of its batch's own: "
        '["day1", "day3 inverse"] leads from day1 by the reference to day3',
    )
    strength: float = Field(1.0, ge=0, le=1, description="of each edit's whole change; 0.5 goes half of the way")
    serve: Server = Field(
        "student",
        description="student: edits are made by their students, where the model has them; teacher: by the plans "
        "themselves, which the students were distilled from",
    )
    support: bool = Field(
        False,
        description="write the column neuronedit_support: how far each event is from what its edit was learned on; "
        "up to 1 is as near as the source's own events",
    )
    warn_unsupported: float = Field(
        0.1,
        ge=0,
        le=1,
        description="warn of each edit of whose events more than this share is unlike those that it was learned on; "
        "of these themselves it is 0.01",
    )
    max_unsupported: float | None = Field(
        None,
        ge=0,
        le=1,
        description="an error where more than this share of an edit's events is unlike those that it was learned on: "
        "1,000 of each edit are looked at before anything is edited, and the whole input before it is published",
    )
    allow_failed_gates: bool = Field(
        False,
        description="use a registered model although its review's gates failed; by default only where an override "
        "given with promote holds for them. A version that was never reviewed is used, with a warning",
    )
    overwrite: bool = Field(False, description="replace the output of an earlier transform")
    resume: bool = Field(False, description="continue a transform that was stopped: finished files are kept")
    workers: PositiveInt | None = Field(
        None, description="actors at most; by default one per core that is free at the start"
    )
    use_gpu: bool = Field(
        False, description="edit on GPUs (CUDA): the same results, but for the last digits of float32"
    )
    actors_per_gpu: PositiveInt = Field(
        4, description="actors that share a GPU: some read and write files while it computes for another"
    )
    on_error: Literal["fail", "quarantine"] = Field(
        "fail",
        description="quarantine: leave out files and row groups that cannot be read, and events whose intensities are "
        "not finite; list them in the manifest, go on, and exit with status 3",
    )
    compression: Literal["keep", "snappy", "zstd", "lz4", "none"] = Field(
        "zstd", description="of the Parquet files written; keep: each file's own"
    )
    row_group_events: PositiveInt | None = Field(
        None, description="events of each row group written; by default the input's row groups, up to 131,072 events"
    )
    part_mb: PositiveInt = Field(
        1024,
        description="larger files are edited in parts of about this size, each with an output file of its own, "
        "NAME-00001-of-00005.parquet",
    )
    tracking: TrackingConfig = Field(
        TrackingConfig(), description="where the model is registered and the run is logged"
    )
    ray: RayConfig = Field(RayConfig(), description="where it runs")

    @property
    def part_bytes(self) -> int:
        """About the size of a part."""
        return self.part_mb * 1024**2

    def rules(self) -> dict[str, object]:
        """The settings that decide the output's bits."""
        who_and_where = {"workers", "actors_per_gpu", "tracking", "ray"}
        others = {"data", "model", "output", "allow_failed_gates", "overwrite", "resume"}
        others |= {"warn_unsupported", "max_unsupported"}
        return self.model_dump(exclude=others | who_and_where)


def job(config: TransformConfig) -> int:
    """Apply a pinned model to every event of a Parquet dataset."""
    started = monotonic()
    connect(config.tracking)
    pinned = pinned_model(config.model).served_by(config.serve)
    check_usable(pinned, config.model, allow_failed_gates=config.allow_failed_gates)
    for name in config.edits:
        pinned.model.get_edit(name)
    quarantine = config.on_error == "quarantine"
    inputs = list_dataset(config.data.path, pass_over=quarantine)
    plan = TransformPlan(pinned.uri, pinned.digest, config.rules(), inputs)
    parts = file_parts(inputs.files, inputs.filesystem, config.part_bytes)
    route = Route(config.edits, config.unknown_batch, config.strength, config.support)
    rules = TransformRules(config.where, route, config.serve)
    files = FileRules(Layout(config.compression, config.row_group_events), quarantine)
    gpu = GpuShare(config.actors_per_gpu) if config.use_gpu else None
    claim = claimed_output(config.output, plan, pinned.contents(), overwrite=config.overwrite, resume=config.resume)
    values = partial(naming_values, pinned.model, inputs)
    use = Application(pinned.uri, pinned.model, route, config.where, pinned.scope, values)
    place, name = masked(config.output), f"transform {pinned.short_name}"
    with claim as output, ray_session(config.ray), tracked_run("transform", config.flat(), name=name) as run_id:
        if config.max_unsupported is not None and not quarantine:
            ahead = look_ahead(pinned.model, inputs, config.where, route)
            check_unsupported(ahead, config.max_unsupported, use, f"{place}: nothing was edited")
        tally = Tally(pinned.model.scaling.zeros)
        receipts = transform_parts(parts, inputs.filesystem, output, rules, files, tally, config.workers, gpu)
        check_unchanged(inputs)
        quality = quality_table(tally, pinned.model, rules.route)
        facts = manifest_facts(quality)
        scope = scope_of_output(config, facts, use, place)
        origin = OutputOrigin(pinned.facts(), config.flat(), run_id, output.started, output.claim, scope)
        manifest = make_manifest(plan, parts, receipts, facts, origin)
        output.complete(manifest, receipts, quality)
        for warning in told_warnings(scope):
            log.warning("%s", warning)
        figure = quality_figure(quality, pinned.model.panel.unit)
        results = transform_results(
            manifest, inputs, monotonic() - started, quality_scalars(quality), figure, pinned.model_id
        )
        logged = log_or_keep(results, run_id, config.output, place)
    print(summary(manifest, place))
    if not logged:
        return NOT_LOGGED
    return 3 if manifest["left_out"] else 0


def scope_of_output(config: TransformConfig, facts: dict[str, Any], use: Application, place: str) -> dict[str, Any]:
    """Say what the model was reviewed for and what it was applied to, for the manifest.

    Raises:
        ModelError: More of an edit's events are unsupported than ``max_unsupported`` allows.
    """
    found = measured_support(facts, use.model, use.route)
    check_unsupported(
        found, config.max_unsupported, use, f"{place}: edited, but not published: no manifest was written"
    )
    return scope_facts(found, config.warn_unsupported, use)


main = JobCommand("transform", TransformConfig, job, remedy="Finished files stand: run again with resume = true.")


if __name__ == "__main__":
    raise SystemExit(main())
