"""Train a model: ``python jobs/train.py CONFIG.toml --set section.key=value``."""

from functools import partial
from typing import Annotated

from pydantic import Field, PositiveInt

from neuronedit.adapters.cluster.command import JobCommand
from neuronedit.adapters.cluster.session import RayConfig, ray_session
from neuronedit.adapters.cluster.tasks import run_on_cluster
from neuronedit.adapters.files.dataset import DataConfig, list_dataset
from neuronedit.adapters.registry.aliases import check_alias_is_free
from neuronedit.adapters.registry.runs import TrackingConfig, connect, log_losses, tracked_run
from neuronedit.adapters.registry.tracker import told_with
from neuronedit.adapters.registry.training_runs import introduce, log_search, log_training, log_trial
from neuronedit.adapters.registry.versions import PinnedModel, RegistryConfig, example_events, register_model
from neuronedit.adapters.sampling.populations import draw_populations
from neuronedit.adapters.training.source import ray_train
from neuronedit.cells.design import ControlsDesign, PairDesign
from neuronedit.cells.draw import SampleConfig
from neuronedit.cells.panel import PanelConfig
from neuronedit.config import Config
from neuronedit.edits.learnable import unmoved_columns
from neuronedit.edits.plans import EditConfig, check_layers
from neuronedit.fitting.edits import edits_sentence
from neuronedit.fitting.fit import fit_prepared
from neuronedit.fitting.prepare import Prepared, prepare
from neuronedit.fitting.search import search_network
from neuronedit.fitting.search_result import SearchConfig, SearchResult
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingDataConfig, TrainingPlan, WorkersConfig
from neuronedit.review.job_figures import loss_figure

NOT_REGISTERED = "Nothing was registered; weights that were trained are kept, and the same command goes on."


class TrainConfig(Config):
    """Train the autoencoder, fit the edits, register the model."""

    data: DataConfig = Field(description="the events to learn from")
    panel: PanelConfig = Field(description="the markers to model")
    design: Annotated[PairDesign | ControlsDesign, Field(discriminator="kind")] = Field(
        description="which events are source, target and extrapolation"
    )
    sample: SampleConfig = Field(SampleConfig(), description="events drawn from each population")
    autoencoder: Architecture = Field(Architecture(), description="the network")
    ensemble: PositiveInt = Field(
        1, description="autoencoders, each trained from a seed of its own; the changes that they make are averaged"
    )
    training: TrainingPlan = Field(TrainingPlan(), description="how it learns")
    search: SearchConfig = Field(SearchConfig(), description="settings of the network to try first")
    training_data: TrainingDataConfig = Field(TrainingDataConfig(), description="what it learns from")
    workers: WorkersConfig = Field(WorkersConfig(), description="who computes")
    edit: EditConfig = Field(EditConfig(), description="what is edited")
    model: RegistryConfig = Field(RegistryConfig(), description="under which name the model is registered")
    tracking: TrackingConfig = Field(TrackingConfig(), description="where it is logged")
    ray: RayConfig = Field(RayConfig(), description="where it runs")


def job(config: TrainConfig) -> int:
    """Train the autoencoder on all populations, fit the edits, and register the model for review."""
    pinned = registered(config)
    print(f"{pinned.uri}: {edits_sentence(pinned.model)}, sha256 {pinned.digest[:12]}")
    return 0


def registered(config: TrainConfig) -> PinnedModel:
    """Train, fit and register a model."""
    check_layers(config.edit, config.autoencoder)
    panel = config.panel.read()
    unmoved_columns(config.edit.markers, panel.markers)  # a wrong name is told before any event is read
    dataset = list_dataset(config.data.path)
    connect(config.tracking)
    check_alias_is_free(config.model.name, config.model.alias)
    with ray_session(config.ray), told_with(NOT_REGISTERED), tracked_run("train", config.flat()) as run_id:
        drawn = draw_populations(dataset, panel, config.design, config.sample, config.edit.label_columns)
        prepared = prepare(drawn, panel, config.design, config.edit, config.training.seed)
        fitted = fit_prepared(
            prepared,
            config.autoencoder,
            config.training,
            ensemble=config.ensemble,
            search=searched(prepared, config) if config.search.enabled else None,
            train=ray_train(dataset, config.sample, config.training_data, config.workers, partial(log_losses, run_id)),
            run_all=run_on_cluster,
        )
        model = fitted.drawn_from(dataset.facts(), config.sample).model
        learned = log_training(model, drawn, dataset, loss_figure(fitted.loss_table))
        pinned = register_model(model, config.model, example_events(model, drawn))
        introduce(pinned, "train", learned)
    return pinned


def searched(prepared: Prepared, config: TrainConfig) -> SearchResult:
    """Search for the network's settings, each trial on the cluster and logged as it ends."""
    found = search_network(
        prepared, config.search, config.autoencoder, config.training, run_on_cluster, on_trial=log_trial
    )
    log_search(found)
    return found


main = JobCommand("train", TrainConfig, job, remedy="Its checkpoints stand: run the same command again.")


if __name__ == "__main__":
    raise SystemExit(main())
