"""What the update job can be told."""

from pydantic import Field, PositiveInt

from neuronedit.config import Config
from neuronedit.errors import ConfigError
from neuronedit.job_configs import DataConfig, RayConfig, RegistryConfig, TrackingConfig


class ReplayConfig(Config):
    """When and how the autoencoders learn new events."""

    above: float = Field(
        2.0,
        ge=0,
        description="retrain where the reconstruction error of a new population is more than this many times that of "
        "events held out of the populations that the parent was trained on; 0: always",
    )
    epochs: PositiveInt = Field(20, description="of training on, from the parent's weights, by the parent's plan")
    events_per_population: PositiveInt = Field(
        5_000, description="old events replayed beside the new ones, at most, of each population"
    )


class VersionConfig(Config):
    """The new version's name in MLflow's registry."""

    name: str | None = Field(
        None, pattern=r"^[^/:@]+$", description="registered model name, by default the parent's own"
    )
    alias: str | None = Field(None, description="an alias to point at the new version, e.g. candidate")

    def of(self, parent: str) -> RegistryConfig:
        """Where the new version of a parent, ``models:/NAME/VERSION`` or a folder, is registered.

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
