"""Apply a model: ``python jobs/transform.py CONFIG.toml --set section.key=value``."""

from collections.abc import Sequence
from time import monotonic

from neuronedit.adapters.output_folder import TransformPlan, claim_output
from neuronedit.adapters.parquet import list_dataset
from neuronedit.adapters.ray_data import TransformRules, transform_files
from neuronedit.adapters.ray_session import ray_session
from neuronedit.adapters.registry import pinned_model
from neuronedit.adapters.tracking import connect, log_transform, tracked_run
from neuronedit.command import run_job
from neuronedit.job_configs import TransformConfig
from neuronedit.model import Route
from neuronedit.model_files import model_contents


def job(config: TransformConfig) -> int:
    """Apply a pinned model to every event of a Parquet dataset."""
    started = monotonic()
    connect(config.tracking)
    pinned = pinned_model(config.model)
    for name in config.edits:
        pinned.model.edit(name)
    plan = TransformPlan(pinned.uri, pinned.digest, config.rules(), list_dataset(config.data.path))
    contents = model_contents(pinned.folder)
    output = claim_output(config.output, plan, contents, overwrite=config.overwrite, resume=config.resume)
    route = Route(config.edits, config.unknown_batch, config.strength, config.support)
    rules = TransformRules(config.where, config.compression, route)
    with ray_session(config.ray), tracked_run("transform", config.flat()):
        finished = output.reports(plan.inputs.files) if config.resume else []
        names = {report.file for report in finished}
        left = [file for file in plan.inputs.files if file.name not in names]
        written = transform_files(left, plan.inputs.filesystem, output, rules, config.workers)
        manifest = output.complete(plan, [*finished, *written], config.flat())
        log_transform(manifest, plan.inputs, monotonic() - started)
    counts = ", ".join(f"{n:,} {outcome}" for outcome, n in manifest["counts"].items() if n)
    print(
        f"{config.output}: {manifest['events']:,} events in {len(manifest['outputs'])} files ({counts}) by {pinned.uri}"
    )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job("transform", TransformConfig, job, argv)


if __name__ == "__main__":
    raise SystemExit(main())
