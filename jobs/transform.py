"""Apply a model: ``python jobs/transform.py CONFIG.toml --set section.key=value``."""

from time import monotonic

from neuronedit.adapters.committed_file import Layout
from neuronedit.adapters.event_editor import TransformRules
from neuronedit.adapters.file_parts import file_parts
from neuronedit.adapters.file_transformer import FileRules
from neuronedit.adapters.gate_tags import check_usable
from neuronedit.adapters.manifest import Origin, make_manifest
from neuronedit.adapters.output_folder import MANIFEST, TransformPlan, claimed_output
from neuronedit.adapters.parquet import list_dataset
from neuronedit.adapters.ray_data import transform_parts
from neuronedit.adapters.ray_session import GpuShare, ray_session
from neuronedit.adapters.registry import pinned_model
from neuronedit.adapters.tracking import connect, log_quality, log_transform, tracked_run
from neuronedit.command import JobCommand
from neuronedit.credentials import masked
from neuronedit.job_configs import TransformConfig
from neuronedit.model_files import model_contents
from neuronedit.quality import manifest_facts, quality_scalars, quality_table
from neuronedit.review.quality_figure import quality_figure
from neuronedit.route import Route
from neuronedit.tally import Tally


def job(config: TransformConfig) -> int:
    """Apply a pinned model to every event of a Parquet dataset."""
    started = monotonic()
    connect(config.tracking)
    pinned = pinned_model(config.model)
    check_usable(pinned, config.model, allow_failed_gates=config.allow_failed_gates)
    for name in config.edits:
        pinned.model.edit(name)
    quarantine = config.on_error == "quarantine"
    inputs = list_dataset(config.data.path, pass_over=quarantine)
    plan = TransformPlan(pinned.uri, pinned.digest, config.rules(), inputs)
    parts = file_parts(inputs.files, inputs.filesystem, config.part_mb * 1024**2)
    rules = TransformRules(config.where, Route(config.edits, config.unknown_batch, config.strength, config.support))
    files = FileRules(Layout(config.compression, config.row_group_events), quarantine)
    gpu = GpuShare(config.actors_per_gpu) if config.use_gpu else None
    claim = claimed_output(
        config.output, plan, model_contents(pinned.folder), overwrite=config.overwrite, resume=config.resume
    )
    with claim as output, ray_session(config.ray), tracked_run("transform", config.flat()) as run_id:
        tally = Tally(pinned.model.scaling.zeros)
        receipts = transform_parts(parts, inputs.filesystem, output, rules, files, tally, config.workers, gpu)
        quality = quality_table(tally, pinned.model, rules.route)
        origin = Origin(pinned.facts(), config.flat(), run_id, output.started)
        manifest = make_manifest(plan, parts, receipts, manifest_facts(quality), origin)
        output.complete(manifest, receipts, quality)
        log_transform(manifest, inputs, monotonic() - started)
        log_quality(quality_scalars(quality), quality_figure(quality))
    counts = ", ".join(f"{n:,} {outcome}" for outcome, n in manifest["counts"].items() if n)
    shown = masked(config.output)
    print(f"{shown}: {manifest['events']:,} events in {len(manifest['outputs'])} files ({counts}) by {pinned.uri}")
    if not manifest["left_out"]:
        return 0
    n_left_out = sum(left_out["events"] or 0 for left_out in manifest["left_out"])
    print(f"left out {n_left_out:,} events in {len(manifest['left_out'])} places: see {shown}/{MANIFEST}")
    return 3


main = JobCommand("transform", TransformConfig, job)


if __name__ == "__main__":
    raise SystemExit(main())
