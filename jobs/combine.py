"""Predict a combination: ``python jobs/combine.py CONFIG.toml --set section.key=value``."""

from pydantic import Field

from neuronedit.adapters.cluster.command import JobCommand
from neuronedit.adapters.cluster.session import RayConfig, ray_session
from neuronedit.adapters.files.dataset import DataConfig, list_dataset
from neuronedit.adapters.files.staged_folder import staged_folder, write_record
from neuronedit.adapters.registry.results import folder_results
from neuronedit.adapters.registry.runs import TrackingConfig, connect, tracked_run
from neuronedit.adapters.registry.unlogged import NOT_LOGGED, log_or_keep
from neuronedit.adapters.registry.versions import pinned_model
from neuronedit.adapters.sampling.experiments import draw_experiment
from neuronedit.cells.arms import BOTH, CONTROL, A, ArmChoice, B
from neuronedit.cells.draw import SampleConfig
from neuronedit.cells.panel import PanelConfig
from neuronedit.cells.selection import Where
from neuronedit.config import Config
from neuronedit.measures.synergy import SynergyRule
from neuronedit.model.combination import combine, write_combination
from neuronedit.model.predictions import panel_edit
from neuronedit.review.job_figures import EXCESS_FIGURE, excess_figure

RECORD = "_combine.json"


class CombineConfig(Config):
    """Predict two treatments together from the edits of each, beside what was measured."""

    data: DataConfig = Field(description="the measured arms, as raw intensities")
    panel: PanelConfig = Field(description="the markers to compare; both models' markers must be among them")
    control: Where = Field(min_length=1, description='column values of neither treatment, e.g. {drug = "none"}')
    a: Where = Field(min_length=1, description='column values of A alone, e.g. {drug = "A"}')
    b: Where = Field(min_length=1, description='column values of B alone, e.g. {drug = "B"}')
    both: Where = Field({}, description="column values of A and B together, where that was measured (optional)")
    model_a: str = Field(description="the edit from control to A: models:/NAME/VERSION, models:/NAME@ALIAS or a folder")
    model_b: str = Field(description="the edit from control to B, likewise")
    sample_column: str | None = Field(
        None,
        description="a column that names replicate samples (wells): intervals then hold how much these scatter; "
        "without it events are resampled as if they were replicates",
    )
    output: str = Field(description="the folder to write the tables and the figure to")
    overwrite: bool = Field(False, description="replace an earlier combination in the output folder")
    rule: SynergyRule = Field(SynergyRule(), description="when a marker is called synergistic, antagonistic, additive")
    sample: SampleConfig = Field(
        SampleConfig(), description="events drawn from each arm; with sample_column, from each sample of each arm"
    )
    tracking: TrackingConfig = Field(TrackingConfig(), description="where the models are registered, the run is logged")
    ray: RayConfig = Field(RayConfig(), description="where it runs")

    @property
    def arms(self) -> ArmChoice:
        """The choice of each arm's events; both treatments only if they were measured."""
        where = {CONTROL: self.control, A: self.a, B: self.b}
        return ArmChoice(where | {BOTH: self.both} if self.both else where, self.sample_column)


def job(config: CombineConfig) -> int:
    """Predict two treatments together from the edits of each, and tell their excess over additivity, measured too."""
    panel, dataset = config.panel.read(), list_dataset(config.data.path)
    connect(config.tracking)
    pinned = {"model_a": pinned_model(config.model_a), "model_b": pinned_model(config.model_b)}
    edits = {name: panel_edit(each.model, panel, name) for name, each in pinned.items()}
    with (
        staged_folder(config.output, RECORD, overwrite=config.overwrite) as folder,
        tracked_run("combine", config.flat()) as run_id,
    ):
        with ray_session(config.ray):
            experiment = draw_experiment(dataset, panel, config.arms, config.sample)
        combination = combine(experiment, edits["model_a"], edits["model_b"], config.rule, config.sample.seed)
        write_combination(combination, folder)
        excess_figure(combination.excess, config.rule.min_excess, panel.unit).savefig(folder / EXCESS_FIGURE, dpi=150)
        facts = {
            "data": {"uri": dataset.uri, "sha256": dataset.digest()},
            "models": {name: {"uri": each.uri, "sha256": each.digest} for name, each in pinned.items()},
            "scores": combination.scalars(),
        }
        write_record(folder, RECORD, {**facts, "run": run_id, "settings": config.flat()})
        results = folder_results("combine", combination.scalars(), {"events": dataset})
        logged = log_or_keep(results, run_id, folder, config.output, RECORD)
    print(f"{combination.summary()}\nThe tables and the figure: {config.output}")
    return 0 if logged else NOT_LOGGED


main = JobCommand("combine", CombineConfig, job)


if __name__ == "__main__":
    raise SystemExit(main())
