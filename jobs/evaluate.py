"""Evaluate edited events: ``python jobs/evaluate.py CONFIG.toml --set section.key=value``."""

from neuronedit.adapters.evaluation_data import draw_samples, list_datasets
from neuronedit.adapters.ray_session import ray_session
from neuronedit.adapters.staged_folder import staged_folder, write_record
from neuronedit.adapters.tracking import connect, log_evaluation, tracked_run
from neuronedit.command import JobCommand
from neuronedit.evaluation import evaluate, write_tables
from neuronedit.job_configs import EvaluateConfig

RECORD = "_evaluate.json"


def job(config: EvaluateConfig) -> int:
    """Compare edited events with their measured truth by every metric, beside the noise floor and doing nothing."""
    panel, datasets = config.panel.read(), list_datasets(config)
    connect(config.tracking)
    with (
        staged_folder(config.output, RECORD, overwrite=config.overwrite) as folder,
        tracked_run("evaluate", config.flat()) as run_id,
    ):
        with ray_session(config.ray):
            samples = draw_samples(datasets, panel, config)
        evaluation = evaluate(samples, panel.markers, config.sample.seed)
        write_tables(evaluation, folder)
        digests = {name: {"uri": dataset.uri, "sha256": dataset.digest()} for name, dataset in datasets.items()}
        facts = {"data": digests, "scores": evaluation.scalars(), "run": run_id, "settings": config.flat()}
        write_record(folder, RECORD, facts)
        log_evaluation(folder, evaluation.scalars(), datasets)
    print(f"{evaluation.scores.round(3).to_string()}\nThe tables: {config.output}")
    return 0


main = JobCommand("evaluate", EvaluateConfig, job)


if __name__ == "__main__":
    raise SystemExit(main())
