"""Add new batches to a model: ``python jobs/update.py CONFIG.toml --set section.key=value``."""

from neuronedit.adapters.alias_history import check_alias_is_free
from neuronedit.adapters.parquet import list_dataset
from neuronedit.adapters.ray_session import ray_session
from neuronedit.adapters.registry import example_events, pinned_model, register_model
from neuronedit.adapters.tracking import connect, tracked_run
from neuronedit.adapters.update import update_model
from neuronedit.adapters.update_tracking import log_update
from neuronedit.command import JobCommand
from neuronedit.update_config import UpdateConfig


def job(config: UpdateConfig) -> int:
    """Fit edits for new batches, with as little change to the model's other edits as can be, and register it."""
    connect(config.tracking)
    parent = pinned_model(config.parent)
    version = config.model.of(parent.uri)
    check_alias_is_free(version)
    dataset = list_dataset(config.data.path)
    with ray_session(config.ray), tracked_run("update", config.flat()):
        update = update_model(config, parent, dataset)
        log_update(update, parent, dataset)
        pinned = register_model(update.model, version, example_events(update.model, update.drawn))
    print(f"{pinned.uri}, from {parent.uri}: {update.sentence}")
    return 0


main = JobCommand("update", UpdateConfig, job)


if __name__ == "__main__":
    raise SystemExit(main())
