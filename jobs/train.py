"""Train a model: ``python jobs/train.py CONFIG.toml --set section.key=value``."""

from functools import partial

from neuronedit.adapters.alias_history import check_alias_is_free
from neuronedit.adapters.fit import fit_model
from neuronedit.adapters.parquet import list_dataset
from neuronedit.adapters.populations import draw_populations
from neuronedit.adapters.ray_session import ray_session
from neuronedit.adapters.registry import example_events, register_model
from neuronedit.adapters.tracking import connect, log_losses, log_training, tracked_run
from neuronedit.command import JobCommand
from neuronedit.job_configs import TrainConfig


def job(config: TrainConfig) -> int:
    """Train the autoencoder on all populations, fit the edits, and register the model for review."""
    for step in config.edit.steps:
        config.autoencoder.check_layer(step.layer)
    panel = config.panel.read()
    dataset = list_dataset(config.data.path)
    connect(config.tracking)
    check_alias_is_free(config.model)
    with ray_session(config.ray), tracked_run("train", config.flat()) as run_id:
        drawn = draw_populations(dataset, panel, config.design, config.sample, config.edit.label_columns)
        model, losses = fit_model(config, panel, drawn, dataset, partial(log_losses, run_id))
        log_training(model, drawn, losses, dataset)
        pinned = register_model(model, config.model, example_events(model, drawn))
    print(f"{pinned.uri}: {len(model.edits)} edit(s) of {panel.n_markers} markers, sha256 {pinned.digest[:12]}")
    return 0


main = JobCommand("train", TrainConfig, job)


if __name__ == "__main__":
    raise SystemExit(main())
