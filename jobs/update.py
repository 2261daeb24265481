"""Add new batches to a model: ``python jobs/update.py CONFIG.toml --set section.key=value``."""

from pydantic import Field

from neuronedit.adapters.cluster.command import JobCommand
from neuronedit.adapters.cluster.session import RayConfig, ray_session
from neuronedit.adapters.cluster.tasks import run_on_cluster
from neuronedit.adapters.files.dataset import DataConfig, list_dataset
from neuronedit.adapters.registry.aliases import check_alias_is_free
from neuronedit.adapters.registry.runs import TrackingConfig, connect, tracked_run
from neuronedit.adapters.registry.tracker import told_with
from neuronedit.adapters.registry.training_runs import introduce, log_update
from neuronedit.adapters.registry.versions import RegistryConfig, example_events, pinned_model, register_model
from neuronedit.adapters.sampling.update_events import draw_update
from neuronedit.config import Config
from neuronedit.errors import ConfigError
from neuronedit.fitting.edits import edits_sentence
from neuronedit.fitting.update import ReplayConfig, update_model

NOT_REGISTERED = "Nothing was registered: run the same command again."


class VersionConfig(Config):
    """The new version's name in MLflow's registry."""

    name: str | None = Field(
        None, pattern=r"^[^/:@]+$", description="registered model name, by default the parent's own"
    )
    alias: str | None = Field(None, description="an alias to point at the new version, e.g. candidate")

    def registered_as(self, parent: str) -> RegistryConfig:
        """Name the new version of a parent, which is ``models:/NAME/VERSION`` or a folder.

        Raises:
            ConfigError: The parent is a folder, and no name is given.
        """
        name = self.name or (parent.split("/")[1] if parent.startswith("models:/") else None)
        if name is None:
            raise ConfigError(
                f"parent is the folder {parent}, which has no name in the registry; expected model.name for the new "
                "version. Set model.name."
            )
        return RegistryConfig(name=name, alias=self.alias)


class UpdateConfig(Config):
    """Add the edits of new batches to a model of a controls design; the edits that it has stay."""

    parent: str = Field(description="the model to add to: models:/NAME/VERSION, models:/NAME@ALIAS, or a folder")
    data: DataConfig = Field(description="where the new batches' controls are; batches that the parent knows are left")
    parent_data: tuple[str, ...] = Field(
        (), description="datasets with the events that the parent was trained on, if they are not where they were"
    )
    replay: ReplayConfig = Field(ReplayConfig(), description="when and how the autoencoders learn new events")
    model: VersionConfig = Field(VersionConfig(), description="under which name the new version is registered")
    tracking: TrackingConfig = Field(TrackingConfig(), description="where it is logged")
    ray: RayConfig = Field(RayConfig(), description="where it runs")


def job(config: UpdateConfig) -> int:
    """Fit edits for new batches, with as little change to the model's other edits as can be, and register it."""
    connect(config.tracking)
    parent = pinned_model(config.parent)
    version = config.model.registered_as(parent.uri)
    check_alias_is_free(version.name, version.alias)
    dataset = list_dataset(config.data.path)
    with ray_session(config.ray), told_with(NOT_REGISTERED), tracked_run("update", config.flat()):
        old, new = draw_update(parent.model, parent.uri, dataset, config.parent_data)
        update = update_model(parent.model, parent.uri, old, new, config.replay, run_on_cluster)
        update = update.drawn_from(dataset.facts(), {"uri": parent.uri, "sha256": parent.digest})
        learned = log_update(update, parent, dataset)
        pinned = register_model(update.model, version, example_events(update.model, update.drawn))
        introduce(pinned, "update", learned)
    print(f"{pinned.uri}, from {parent.uri}: {update.sentence}; {edits_sentence(update.model)}")
    return 0


main = JobCommand("update", UpdateConfig, job, remedy="Nothing was registered: run it again.")


if __name__ == "__main__":
    raise SystemExit(main())
