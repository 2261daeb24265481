"""Ways to edit the events of Parquet files: one plain process, several, and Ray."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Barrier

import pyarrow.parquet as pq

from neuronedit.adapters.committed_file import Layout
from neuronedit.adapters.event_editor import TransformRules
from neuronedit.adapters.file_parts import FilePart, file_parts
from neuronedit.adapters.file_transformer import FileRules, FileTransformer
from neuronedit.adapters.output_folder import OutputFolder, TransformPlan, claimed_output
from neuronedit.adapters.parquet import EventDataset, list_dataset
from neuronedit.adapters.ray_data import transform_parts
from neuronedit.adapters.ray_session import GpuShare, RayConfig, ray_session
from neuronedit.model_files import load_model, model_contents
from neuronedit.tally import Tally

from ..transform import TransformConfig
from .measure import Cost, measured

PART_BYTES = TransformConfig.model_fields["part_mb"].default * 1024**2
"""Larger files are edited in parts, as the job does by default."""


@dataclass(frozen=True)
class Work:
    """Files to be edited.

    Attributes:
        model: The model's folder.
        cells: The input.
        output: A folder that is not there; it is removed when the work is done.
        few: An input of next to nothing: what is done with it before is not measured, so that code that is compiled
            or loaded on first use is.
        compression: Of the output.
    """

    model: Path
    cells: Path
    output: Path
    few: Path
    compression: str = "snappy"

    @property
    def rules(self) -> FileRules:
        """How files are written."""
        return FileRules(Layout(self.compression))

    @contextmanager
    def claimed(self, dataset: EventDataset) -> Iterator[OutputFolder]:
        """The output folder, claimed as the job does."""
        plan = TransformPlan(str(self.model), "benchmark", {}, dataset)
        model = model_contents(self.model)
        with claimed_output(str(self.output), plan, model, overwrite=False, resume=False) as output:
            yield output
        shutil.rmtree(self.output)


def plain_cost(work: Work, share: slice = slice(None), barrier: Barrier | None = None) -> Cost:
    """One process without Ray, which runs the code that Ray's workers run, on one core, file after file.

    Args:
        work: What is to be done.
        share: Which of the files.
        barrier: Waited on before the work starts.
    """
    dataset = list_dataset(str(work.cells))
    with work.claimed(dataset) as output:
        transformer = FileTransformer(dataset.filesystem, output, TransformRules(), work.rules)
        transformer.editor(pq.read_table(sorted(work.few.iterdir())[0]))
        if barrier:
            barrier.wait()
        with measured() as cost:
            for file in dataset.files[share]:
                transformer.transform(FilePart.whole(file))
    return cost


def half_cost(barrier: Barrier, work: Work, number: int, of: int) -> Cost:
    """A plain process's share of the files, beside the processes that have the others."""
    own = replace(work, output=work.output.with_name(f"{work.output.name}-{number}"))
    return plain_cost(own, slice(number, None, of), barrier)


def ray_costs(work: Work, short: Path, counts: tuple[int, ...]) -> tuple[Cost, dict[int, tuple[Cost, Cost]]]:
    """Ray Data's actors, in one session.

    Args:
        work: What is to be done.
        short: A shorter input, long enough for all actors to come to work.
        counts: Numbers of actors.

    Returns:
        What it takes to start: from nothing to the end of a first run on next to nothing. For each number of actors,
        what the shorter input takes, and what the whole one takes more.
    """
    few = replace(work, cells=work.few)
    with ExitStack() as session:
        with measured() as start:
            session.enter_context(ray_session(RayConfig()))
            ray_cost(few, 1)
        costs = {}
        for count in counts:
            shorter = ray_cost(replace(work, cells=short), count)
            costs[count] = shorter, ray_cost(work, count).less(shorter)
    return start, costs


def ray_cost(
    work: Work,
    n_workers: int | None = None,
    n_files: int | None = None,
    *,
    gpu: GpuShare | None = None,
    together: bool = False,
) -> Cost:
    """Ray Data's actors in a session that runs, from the list of files on.

    Args:
        work: What is to be done.
        n_workers: At most as many actors; by default as many as there is room for.
        n_files: Of the input's files, the first; all by default.
        gpu: What each actor has of a GPU; by default none has any.
        together: Whether to ask for the memory that all processes hold together.
    """
    dataset = list_dataset(str(work.cells))
    dataset = replace(dataset, files=dataset.files[:n_files])
    parts = file_parts(dataset.files, dataset.filesystem, PART_BYTES)
    tally = Tally(load_model(work.model).scaling.zeros)
    with work.claimed(dataset) as output, measured(together=together) as cost:
        transform_parts(parts, dataset.filesystem, output, TransformRules(), work.rules, tally, n_workers, gpu)
    return cost
