"""Review a model: ``python jobs/review.py CONFIG.toml --set section.key=value``."""

from dataclasses import replace
from shutil import copytree

from pydantic import Field

from neuronedit.adapters.cluster.command import JobCommand
from neuronedit.adapters.cluster.session import RayConfig, ray_session
from neuronedit.adapters.cluster.tasks import run_on_cluster
from neuronedit.adapters.files.dataset import DataConfig, EventDataset, list_dataset
from neuronedit.adapters.files.staged_folder import staged_folder, write_record
from neuronedit.adapters.registry import datasets
from neuronedit.adapters.registry.datasets import RunDataset, dataset_name
from neuronedit.adapters.registry.promotion import evidence_of, gates_of_review
from neuronedit.adapters.registry.results import Results, folder_results
from neuronedit.adapters.registry.runs import TrackingConfig, connect, logged_losses
from neuronedit.adapters.registry.unlogged import NOT_LOGGED, log_in_run
from neuronedit.adapters.registry.versions import PinnedModel, pinned_model
from neuronedit.adapters.sampling.review_events import HeldOut, ReviewEvents, draw_review
from neuronedit.cells.draw import SampleConfig
from neuronedit.cells.selection import Where
from neuronedit.config import Config
from neuronedit.errors import NOT_MEASURED
from neuronedit.fitting.fit import model_refits
from neuronedit.model.edit_model import EditModel
from neuronedit.model.gates import MARKS, GateConfig
from neuronedit.review.applied import judge_applied, named_extrapolations, scope_of
from neuronedit.review.neurons.context import LabelColumns
from neuronedit.review.page.card import review_card
from neuronedit.review.page.edit_review import EditReview, review_edit
from neuronedit.review.page.gate_measures import measure_gates
from neuronedit.review.page.html import NEURONS_PAGE, PAGE, rewrite_page, write_decision, write_neurons
from neuronedit.review.page.report import Review
from neuronedit.review.page.review_model import review_model
from neuronedit.review.transfer.transfer import HELD_OUT

RECORD = "_review.json"


class ReviewConfig(Config):
    """Show what a model learned, and how well it does on data it was not fitted to."""

    data: DataConfig = Field(description="the events that the model was trained on, and held-out ones")
    model: str = Field(description="models:/NAME/VERSION, models:/NAME@ALIAS, or a model's folder")
    held_out: Where = Field(
        {},
        description='events with measured truth in every batch, e.g. {role = "validation"} (controls designs)',
    )
    held_out_source: Where = Field({}, description="pair designs: untreated events to apply the edit to")
    held_out_target: Where = Field({}, description="pair designs: their measured treated counterpart")
    labels: LabelColumns = Field(LabelColumns(), description="columns that say something of an event")
    descriptions: dict[str, str] = Field(
        {}, description='populations by their markers, e.g. {NK = "CD3- CD56+"}: can the network express them?'
    )
    edits: tuple[str, ...] = Field(
        (), description="edits to look at neuron by neuron; by default the one that moves its source's events most"
    )
    refits: int = Field(
        0,
        ge=0,
        description="train the network so many times more, from other seeds, to see which neurons come back and which "
        "sample to measure next; a model with an ensemble has refits already",
    )
    output: str = Field(description="the folder to write review.html and its tables to")
    overwrite: bool = Field(False, description="replace an earlier review in the output folder")
    sample: SampleConfig = Field(
        SampleConfig(events_per_population=5_000), description="events drawn from each population"
    )
    gates: GateConfig = Field(GateConfig(), description="what the model must show before it may be promoted")
    tracking: TrackingConfig = Field(TrackingConfig(), description="where the model's run is")
    ray: RayConfig = Field(RayConfig(), description="where it runs")


def job(config: ReviewConfig) -> int:
    """Decide on a model: how well it does, beside simple baselines and the noise floor, and what it learned."""
    connect(config.tracking)
    pinned = pinned_model(config.model)
    dataset = list_dataset(config.data.path)
    held_out = HeldOut(config.held_out, config.held_out_source, config.held_out_target)
    with ray_session(config.ray):
        events = draw_review(pinned.model, dataset, held_out, config.sample, labels=config.labels)
        compared = events.comparisons
        populations = held_out.to_judge(pinned.model.design, events.drawn.intensities)
        identity = {"name": pinned.uri, "sha256": pinned.digest, "data": dataset.uri}
        review = review_model(
            pinned.model, compared, events.populations, logged_losses(pinned.run_id), identity, config.sample.seed
        )
        gates = measure_gates(review, pinned.model, compared, populations, config.gates)
        held_out_events = {each.name: (each.edit, each.events) for each in compared if each.kind == HELD_OUT}
        applied = judge_applied(pinned.model, held_out_events, populations)
        scope = scope_of(applied, pinned.model.design, held_out.design(pinned.model.design), review.known)
        # What is held out of the design's own extrapolation is looked at, too: as measured, which is more.
        to_be_edited = named_extrapolations(pinned.model, events.drawn.intensities)
        evidence = evidence_of(pinned, [*(each.name for each in compared), *to_be_edited])
        review = replace(review, gates=gates, scope=scope, lost=evidence.sentence)
        record = {"model": pinned.uri, "model_sha256": pinned.digest, "settings": config.flat()}
        # The page that decides can be read while the neurons are still looked at.
        with staged_folder(config.output, RECORD, overwrite=config.overwrite) as folder:
            write_decision(review, folder)
            write_record(folder, RECORD, record)
        tell(review, f"{config.output}/{PAGE}")
        review = replace(review, edits=edit_reviews(config, pinned.model, events))
        with staged_folder(config.output, RECORD, overwrite=True) as folder:
            copytree(config.output, folder, dirs_exist_ok=True)
            rewrite_page(review, folder)
            write_neurons(review, folder)
            write_record(folder, RECORD, record)
            version = gates_of_review(pinned, gates, review.decision.sentence, evidence, scope)
            results = replace(results_of(review, pinned, dataset, events), version=version)
            name = f"review {pinned.short_name} {MARKS[review.decision.tone]}"
            logged = log_in_run(
                results, config.tracking, config.flat(), folder, config.output, name=name, parent=pinned.run_id
            )
    print(f"Neuron by neuron: {config.output}/{NEURONS_PAGE}")
    return 0 if logged else NOT_LOGGED


def results_of(review: Review, pinned: PinnedModel, dataset: EventDataset, events: ReviewEvents) -> Results:
    """Give what the review's run is told, each number with the model and the events that it was measured on."""
    panel = pinned.model.panel
    read = [RunDataset.of(dataset, datasets.TRAINING_PAIRS, panel, events.drawn.counts)]
    if events.held_out is not None:
        chosen = ", ".join(dict.fromkeys(each.name for each in events.comparisons if each.kind == HELD_OUT))
        name, metrics = f"{dataset_name(dataset.uri)} held out", review.held_out_scalars()
        counts = {name.removeprefix("control "): n for name, n in events.held_out.counts.items()}
        read.insert(
            0, RunDataset.of(dataset, datasets.HELD_OUT, panel, counts, name=name, chosen=chosen, metrics=metrics)
        )
    told = folder_results("review", review.scalars(), prefix="")
    tags, card = {"neuronedit.decision": review.decision.headline}, review_card(review, pinned.uri)
    return replace(told, datasets=tuple(read), tags=tags, model_id=pinned.model_id, judged=True, card=card)


def tell(review: Review, page: str) -> None:
    """Print what decides, as the page has it."""
    decision = review.decision
    print(review.decisive_table().round(3).to_string(na_rep=NOT_MEASURED))
    print("\n".join(f"check {gate.name}: {gate.text}" for gate in review.gates))
    print("\n".join(review.restrictions))
    print(f"The model {review.scope.sentence}.")
    print(f"{decision.sentence}\n{f'Next: {decision.remedy}' if decision.remedy else ''}\nThe page: {page}", flush=True)


def edit_reviews(config: ReviewConfig, model: EditModel, events: ReviewEvents) -> tuple[EditReview, ...]:
    """Review the configured edits neuron by neuron, beside refits of the autoencoder."""
    refits = model_refits(model, events.drawn.intensities, config.refits, run_on_cluster)
    return tuple(
        review_edit(name, events.subject(model, name), model, config.labels, refits, config.descriptions)
        for name in config.edits or [events.most_moving(model)]
    )


main = JobCommand("review", ReviewConfig, job)


if __name__ == "__main__":
    raise SystemExit(main())
