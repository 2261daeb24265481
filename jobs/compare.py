"""Compare two models: ``python jobs/compare.py FIRST SECOND CONFIG.toml --set section.key=value``."""

from pydantic import Field

from neuronedit.adapters.cluster.command import JobCommand
from neuronedit.adapters.cluster.session import RayConfig, ray_session
from neuronedit.adapters.files.dataset import DataConfig, list_dataset
from neuronedit.adapters.files.staged_folder import staged_folder, write_record
from neuronedit.adapters.registry.results import folder_results
from neuronedit.adapters.registry.runs import TrackingConfig, connect, read_run, tracked_run
from neuronedit.adapters.registry.unlogged import NOT_LOGGED, log_or_keep
from neuronedit.adapters.registry.versions import PinnedModel, pinned_model
from neuronedit.adapters.sampling.review_events import HeldOut, draw_review
from neuronedit.cells.draw import SampleConfig
from neuronedit.cells.selection import Where
from neuronedit.config import Config
from neuronedit.model.standing import Standing
from neuronedit.review.compare.compare_page import COMPARE_PAGE, write_comparison
from neuronedit.review.compare.contender import Contender
from neuronedit.review.compare.side_by_side import compare_models, joint_panel

RECORD = "_compare.json"


class CompareConfig(Config):
    """Show what differs between two models, and how both do on the same cells."""

    first: str = Field(description="models:/NAME/VERSION, models:/NAME@ALIAS, or a model's folder")
    second: str = Field(description="the other one, likewise")
    data: DataConfig = Field(description="the events that the first was trained on, and held-out ones")
    held_out: Where = Field(
        {},
        description='events with measured truth in every batch, e.g. {role = "validation"} (controls designs)',
    )
    held_out_source: Where = Field({}, description="pair designs: untreated events to apply the edit to")
    held_out_target: Where = Field({}, description="pair designs: their measured treated counterpart")
    output: str = Field(description="the folder to write compare.html and its tables to")
    overwrite: bool = Field(False, description="replace an earlier comparison in the output folder")
    sample: SampleConfig = Field(
        SampleConfig(events_per_population=5_000), description="events drawn from each population"
    )
    tracking: TrackingConfig = Field(
        TrackingConfig(), description="where the models are registered and the run is logged"
    )
    ray: RayConfig = Field(RayConfig(), description="where it runs")


def job(config: CompareConfig) -> int:
    """Show what differs between two models, and how both do on the same cells."""
    connect(config.tracking)
    pinned = [pinned_model(uri) for uri in (config.first, config.second)]
    first, second = map(contender, pinned)
    dataset = list_dataset(config.data.path)
    panel = joint_panel(first.model.panel, second.model.panel)
    held_out = HeldOut(config.held_out, config.held_out_source, config.held_out_target)
    with (
        staged_folder(config.output, RECORD, overwrite=config.overwrite) as folder,
        tracked_run(
            "compare", config.flat(), name=f"compare {', '.join(each.short_name for each in pinned)}"
        ) as run_id,
    ):
        with ray_session(config.ray):
            comparisons = draw_review(first.model, dataset, held_out, config.sample, panel).comparisons
        compared = compare_models(first, second, comparisons, panel, config.sample.seed)
        write_comparison(compared, folder)
        models = [each.facts() for each in pinned]
        write_record(folder, RECORD, {"models": models, "run": run_id, "settings": config.flat()})
        results = folder_results("compare", compared.scalars(), {"events": dataset})
        logged = log_or_keep(results, run_id, folder, config.output, RECORD)
    print("\n".join(f"{name}: {sentence}" for name, sentence in compared.verdicts().items()))
    print(compared.headline)
    print(f"The page: {config.output}/{COMPARE_PAGE}")
    return 0 if logged else NOT_LOGGED


def contender(pinned: PinnedModel) -> Contender:
    """A pinned model with what its registry and its run say of it."""
    settings, scalars, measured_on = read_run(pinned.run_id, pinned.review_run)
    standing = pinned.standing or Standing({})
    return Contender(pinned.uri, pinned.model, settings, standing.recorded, scalars, standing.verdict, measured_on)


main = JobCommand("compare", CompareConfig, job, positional=("first", "second"))


if __name__ == "__main__":
    raise SystemExit(main())
