"""Compare two models: ``python jobs/compare.py FIRST SECOND CONFIG.toml --set section.key=value``."""

from neuronedit.adapters.parquet import list_dataset
from neuronedit.adapters.ray_session import ray_session
from neuronedit.adapters.registry import PinnedModel, pinned_model
from neuronedit.adapters.review_data import draw_review
from neuronedit.adapters.staged_folder import staged_folder, write_record
from neuronedit.adapters.tracking import connect, log_comparison, read_run, tracked_run
from neuronedit.command import JobCommand
from neuronedit.registry_configs import CompareConfig
from neuronedit.review.compare_page import COMPARE_PAGE, write_comparison
from neuronedit.review.side_by_side import Contender, compare_models, joint_panel

RECORD = "_compare.json"


def job(config: CompareConfig) -> int:
    """Show what differs between two models, and how both do on the same cells."""
    connect(config.tracking)
    pinned = [pinned_model(uri) for uri in (config.first, config.second)]
    first, second = map(contender, pinned)
    dataset = list_dataset(config.data.path)
    panel = joint_panel(first.model.panel, second.model.panel)
    with (
        staged_folder(config.output, RECORD, overwrite=config.overwrite) as folder,
        tracked_run("compare", config.flat()) as run_id,
    ):
        with ray_session(config.ray):
            comparisons = draw_review(first.model, dataset, config, panel).comparisons
        compared = compare_models(first, second, comparisons, panel, config.sample.seed)
        write_comparison(compared, folder)
        models = [of.facts() for of in pinned]
        write_record(folder, RECORD, {"models": models, "run": run_id, "settings": config.flat()})
        log_comparison(folder, compared.scalars(), dataset)
    print("\n".join(f"{name}: {sentence}" for name, sentence in compared.verdicts().items()))
    print(f"The page: {config.output}/{COMPARE_PAGE}")
    return 0


def contender(pinned: PinnedModel) -> Contender:
    """A pinned model with what its registry and its run say of it."""
    settings, scalars = read_run(pinned.run_id)
    gates = pinned.standing.recorded if pinned.standing else {}
    return Contender(pinned.uri, pinned.model, settings, gates, scalars)


main = JobCommand("compare", CompareConfig, job, positional=("first", "second"))


if __name__ == "__main__":
    raise SystemExit(main())
