"""Review a model: ``python jobs/review.py CONFIG.toml --set section.key=value``."""

from collections.abc import Sequence
from dataclasses import replace

from neuronedit.adapters.gate_tags import write_gates
from neuronedit.adapters.parquet import list_dataset
from neuronedit.adapters.ray_session import ray_session
from neuronedit.adapters.refit_tasks import model_refits
from neuronedit.adapters.registry import pinned_model
from neuronedit.adapters.review_data import draw_review
from neuronedit.adapters.staged_folder import staged_folder, write_record
from neuronedit.adapters.tracking import connect, log_review, read_losses, tracked_run
from neuronedit.command import run_job
from neuronedit.review.edit_review import review_edit
from neuronedit.review.gate_measures import measure_gates
from neuronedit.review.page import PAGE, write_review
from neuronedit.review.report import review_model
from neuronedit.review_configs import ReviewConfig

RECORD = "_review.json"


def job(config: ReviewConfig) -> int:
    """Show what a model learned, and how well it does, beside simple baselines and the noise floor."""
    connect(config.tracking)
    pinned = pinned_model(config.model)
    dataset = list_dataset(config.data.path)
    with ray_session(config.ray), staged_folder(config.output, RECORD, overwrite=config.overwrite) as folder:
        events = draw_review(pinned.model, dataset, config, label_columns=config.labels.names)
        compared, populations = events.comparisons, events.drawn.intensities
        identity = {"name": pinned.uri, "sha256": pinned.digest, "data": dataset.uri}
        review = review_model(pinned.model, compared, populations, read_losses(pinned.run_id), identity)
        kinds = events.pair_labels(config.labels.cell_type)
        gates = measure_gates(review, pinned.model, compared, populations, config.gates, config.sample.seed, kinds)
        refits = model_refits(pinned.model, populations, config.refits)
        edits = tuple(
            review_edit(
                name, events.neurons(pinned.model, name), pinned.model, config.labels, refits, config.descriptions
            )
            for name in config.edits or [events.most_moving(pinned.model)]
        )
        review = replace(review, gates=gates, edits=edits)
        write_review(review, folder)
        write_record(folder, RECORD, {"model": pinned.uri, "model_sha256": pinned.digest, "settings": config.flat()})
        with tracked_run("review", config.flat(), pinned.run_id):
            log_review(folder, review.scalars(), dataset)
            write_gates(pinned, gates, review.verdict())
    print(review.decisive_table().round(3).to_string())
    print("\n".join(f"gate {gate.name}: {gate.text}" for gate in gates))
    print(f"{review.verdict()}\nThe page: {config.output}/{PAGE}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job("review", ReviewConfig, job, argv)


if __name__ == "__main__":
    raise SystemExit(main())
