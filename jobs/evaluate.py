"""Evaluate edited events: ``python jobs/evaluate.py CONFIG.toml --set section.key=value``."""

from pydantic import Field

from neuronedit.adapters.cluster.command import JobCommand
from neuronedit.adapters.cluster.session import RayConfig, ray_session
from neuronedit.adapters.files.dataset import EventsConfig
from neuronedit.adapters.files.staged_folder import staged_folder, write_record
from neuronedit.adapters.registry.results import folder_results
from neuronedit.adapters.registry.runs import TrackingConfig, connect, tracked_run
from neuronedit.adapters.registry.unlogged import NOT_LOGGED, log_or_keep
from neuronedit.adapters.sampling.experiments import draw_sample, list_datasets
from neuronedit.cells.draw import SampleConfig
from neuronedit.cells.panel import PanelConfig
from neuronedit.config import Config
from neuronedit.errors import NOT_MEASURED
from neuronedit.measures.evaluation import evaluate, write_evaluation

RECORD = "_evaluate.json"


class EvaluateConfig(Config):
    """Compare edited events with their measured truth, whatever edited them."""

    edited: EventsConfig = Field(description="the events to judge, as raw intensities")
    truth: EventsConfig = Field(description="events as they should be like: measured, not necessarily the same cells")
    unedited: EventsConfig | None = Field(
        None, description="the events before the edit; with them every score stands beside that of doing nothing"
    )
    panel: PanelConfig = Field(description="the markers to compare")
    population_column: str | None = Field(
        None, description="a column that names cell populations: markers are also compared within each"
    )
    output: str = Field(description="the folder to write the tables to")
    overwrite: bool = Field(False, description="replace an earlier evaluation in the output folder")
    sample: SampleConfig = Field(SampleConfig(), description="events drawn from each dataset, and of each population")
    tracking: TrackingConfig = Field(TrackingConfig(), description="where the run is logged")
    ray: RayConfig = Field(RayConfig(), description="where it runs")

    @property
    def events(self) -> dict[str, EventsConfig]:
        """The events to compare, by what they stand for."""
        compared = {"edited": self.edited, "truth": self.truth}
        return compared | {"unedited": self.unedited} if self.unedited else compared


def job(config: EvaluateConfig) -> int:
    """Compare edited events with their measured truth by every metric, beside the noise floor and doing nothing."""
    panel, datasets = config.panel.read(), list_datasets(config.events)
    connect(config.tracking)
    with (
        staged_folder(config.output, RECORD, overwrite=config.overwrite) as folder,
        tracked_run("evaluate", config.flat()) as run_id,
    ):
        with ray_session(config.ray):
            samples = {
                name: draw_sample(name, datasets[name], events.where, panel, config.sample, config.population_column)
                for name, events in config.events.items()
            }
        evaluation = evaluate(samples, panel.markers, config.sample.seed)
        write_evaluation(evaluation, folder)
        digests = {name: {"uri": dataset.uri, "sha256": dataset.digest()} for name, dataset in datasets.items()}
        facts = {"data": digests, "scores": evaluation.scalars(), "run": run_id, "settings": config.flat()}
        write_record(folder, RECORD, facts)
        results = folder_results("evaluate", evaluation.scalars(), datasets)
        logged = log_or_keep(results, run_id, folder, config.output, RECORD)
    print(f"{evaluation.scores.round(3).to_string(na_rep=NOT_MEASURED)}\nThe tables: {config.output}")
    return 0 if logged else NOT_LOGGED


main = JobCommand("evaluate", EvaluateConfig, job)


if __name__ == "__main__":
    raise SystemExit(main())
