"""Predict a combination: ``python jobs/combine.py CONFIG.toml --set section.key=value``."""

from neuronedit.adapters.combination_data import draw_experiment
from neuronedit.adapters.parquet import list_dataset
from neuronedit.adapters.ray_session import ray_session
from neuronedit.adapters.registry import pinned_model
from neuronedit.adapters.staged_folder import staged_folder, write_record
from neuronedit.adapters.tracking import connect, log_combination, tracked_run
from neuronedit.combinations import combine, panel_edit, write_tables
from neuronedit.command import JobCommand
from neuronedit.job_configs import CombineConfig
from neuronedit.review.excess_figure import EXCESS_FIGURE, excess_figure

RECORD = "_combine.json"


def job(config: CombineConfig) -> int:
    """Predict two treatments together from the edits of each, and tell their excess over additivity, measured too."""
    panel, dataset = config.panel.read(), list_dataset(config.data.path)
    connect(config.tracking)
    pinned = {"model_a": pinned_model(config.model_a), "model_b": pinned_model(config.model_b)}
    edits = {name: panel_edit(of.model, panel, name) for name, of in pinned.items()}
    with (
        staged_folder(config.output, RECORD, overwrite=config.overwrite) as folder,
        tracked_run("combine", config.flat()) as run_id,
    ):
        with ray_session(config.ray):
            experiment = draw_experiment(dataset, panel, config)
        combination = combine(experiment, edits["model_a"], edits["model_b"], config.rule, config.sample.seed)
        write_tables(combination, folder)
        excess_figure(combination.excess, config.rule.min_excess).savefig(folder / EXCESS_FIGURE, dpi=150)
        facts = {
            "data": {"uri": dataset.uri, "sha256": dataset.digest()},
            "models": {name: {"uri": of.uri, "sha256": of.digest} for name, of in pinned.items()},
            "scores": combination.scalars(),
        }
        write_record(folder, RECORD, {**facts, "run": run_id, "settings": config.flat()})
        log_combination(folder, combination.scalars(), dataset)
    print(f"{combination.summary()}\nThe tables and the figure: {config.output}")
    return 0


main = JobCommand("combine", CombineConfig, job)


if __name__ == "__main__":
    raise SystemExit(main())
