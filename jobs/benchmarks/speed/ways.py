"""Ways to edit the events of Parquet files, each measured: one plain process, several, Ray, and MLflow with pandas.

Beside them stand floors that no transform can beat: moving the bytes, and the model's matrix products.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Barrier
from time import process_time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from neuronedit.adapters.cluster.session import GpuShare, RayConfig, ray_session
from neuronedit.adapters.files.blocks import FilePart, file_parts
from neuronedit.adapters.files.dataset import EventDataset, list_dataset
from neuronedit.adapters.files.parquet import marker_matrix
from neuronedit.adapters.transform.committed import Layout
from neuronedit.adapters.transform.event_editor import TransformRules
from neuronedit.adapters.transform.file_transformer import FileRules, FileTransformer
from neuronedit.adapters.transform.output_folder import OutputFolder, claimed_output
from neuronedit.adapters.transform.plan import TransformPlan
from neuronedit.adapters.transform.pool import transform_parts
from neuronedit.cells.design import PAIR_EDIT
from neuronedit.edits.students.student import BLOCK
from neuronedit.model.quality.sample import QualityObserver, SupportSample
from neuronedit.model.quality.tally import Tally
from neuronedit.model.route import BATCHES_OWN
from neuronedit.model.saved.files import contents_digest, load_model, model_contents, model_digest
from neuronedit.model.standing import DIGEST_TAG
from neuronedit.network.autoencoder import Architecture, Autoencoder

from ...transform import TransformConfig
from ..measure import Cost, measured
from .event_files import MARKERS, N_MARKERS, SAMPLE, intensities

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
        compression: The output's codec.
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
        model = model_contents(self.model)
        plan = TransformPlan(str(self.model), contents_digest(model), {}, dataset)
        with claimed_output(str(self.output), plan, model, overwrite=False, resume=False) as output:
            yield output
        shutil.rmtree(self.output)


def plain_cost(work: Work, share: slice = slice(None), barrier: Barrier | None = None) -> Cost:
    """One process without Ray, which runs the code that Ray's workers run, on one core, file after file.

    Args:
        work: The work to measure.
        share: The slice of files to edit.
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
        work: The work to measure.
        short: A shorter input, long enough for all actors to come to work.
        counts: Numbers of actors.

    Returns:
        The cost of a start: from nothing to the end of a first run on next to nothing. For each number of actors,
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
        work: The work to measure.
        n_workers: At most as many actors; by default as many as there is room for.
        n_files: Number of the input's files to edit, the first ones; all by default.
        gpu: Each actor's share of a GPU; by default none.
        together: Whether to ask for the memory that all processes hold together.
    """
    dataset = list_dataset(str(work.cells))
    dataset = replace(dataset, files=dataset.files[:n_files])
    parts = file_parts(dataset.files, dataset.filesystem, PART_BYTES)
    tally = Tally(load_model(work.model).scaling.zeros)
    with work.claimed(dataset) as output, measured(together=together) as cost:
        transform_parts(parts, dataset.filesystem, output, TransformRules(), work.rules, tally, n_workers, gpu)
    return cost


EVENTS_PER_READ = 131_072
EVENTS_PER_PRODUCT = 4_096
"""Few enough to stay in the processor's cache: the best rate that products of these sizes reach here."""

MOST_PRODUCTS = 200
"""Chunks that are measured; the rest costs the same."""


def copy_cost(folder: Path, output: Path, compression: str) -> Cost:
    """Floor A: every file read and written again by pyarrow alone, on one core, at its fastest settings."""
    pa.set_cpu_count(1)
    output.mkdir()
    with measured() as cost:
        for path in sorted(folder.iterdir()):
            with (
                pq.ParquetFile(path, pre_buffer=False) as read,
                pq.ParquetWriter(
                    output / path.name, read.schema_arrow, compression=compression, use_dictionary=[SAMPLE]
                ) as written,
            ):
                for events in read.iter_batches(EVENTS_PER_READ, use_threads=False):
                    written.write_table(pa.Table.from_batches([events]))
    return cost


def quality_cost(model: Path, cells: Path) -> Cost:
    """Quality control alone, on one core: all files' events are counted, and sampled ones scored, as an edit does it.

    Args:
        model: The model's folder.
        cells: The input's; its events are counted as they were and, moved by a little, as edited.
    """
    torch.set_num_threads(1)
    loaded = load_model(model)
    observe = QualityObserver(Tally(loaded.scaling.zeros), SupportSample(), loaded, BATCHES_OWN)
    block = np.zeros((BLOCK, loaded.panel.n_markers), np.float32)
    observe(PAIR_EDIT, block, block + 1, None)  # what is compiled on first use is
    seconds = 0.0
    for path in sorted(cells.iterdir()):
        events = loaded.standardised(marker_matrix(pq.read_table(path), loaded.panel, path.name))
        for start in range(0, len(events), BLOCK):
            was = np.asfortranarray(events[start : start + BLOCK])  # in the cache, as an edit leaves it
            became = was + np.float32(0.1)
            started = process_time()
            observe(PAIR_EDIT, was, became, None)
            seconds += process_time() - started
        started = process_time()
        observe.sample.score(observe.tally, loaded, BATCHES_OWN)
        seconds += process_time() - started
    return Cost(wall_s=seconds, cpu_s=seconds)


def products_cost(n_events: int) -> Cost:
    """Floor B: the matrix products of encoding once and decoding twice (the residual form), on one core.

    Neither biases nor activation functions: the rate of the machine's matrix products at these sizes.
    """
    torch.set_num_threads(1)
    autoencoder = Autoencoder(N_MARKERS, Architecture())
    weights = [weight.T.contiguous() for weight in autoencoder.state_dict().values() if weight.ndim == 2]
    depth = len(weights) // 2
    events, code = torch.zeros(EVENTS_PER_PRODUCT, N_MARKERS), torch.zeros(EVENTS_PER_PRODUCT, weights[depth].shape[0])
    n_chunks = n_events / EVENTS_PER_PRODUCT
    n_measured = min(round(n_chunks), MOST_PRODUCTS)
    started = process_time()
    for _ in range(n_measured):
        _multiplied(_multiplied(events, weights[:depth]), weights[depth:])
        _multiplied(code, weights[depth:])
    seconds = (process_time() - started) * n_chunks / n_measured
    return Cost(wall_s=seconds, cpu_s=seconds)


def _multiplied(events: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    for weight in weights:
        events = events @ weight
    return events


def pandas_cost(model: Path, cells: Path, folder: Path) -> Cost:
    """Edit every file: read whole, ``predict``, written; on one thread, which is its best rate per CPU-second.

    Args:
        model: The model's folder.
        cells: The input's.
        folder: For the pyfunc and the output.
    """
    # Imported here: MLflow takes seconds to import, which each process of the benchmark would do.
    import mlflow

    from neuronedit.adapters.registry import pyfunc_model

    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    markers = list(MARKERS)
    example = pd.DataFrame(intensities(5, np.random.default_rng(0)).astype(float), columns=markers)
    mlflow.pyfunc.save_model(
        folder / "pyfunc",
        python_model=pyfunc_model.__file__,
        artifacts={pyfunc_model.ARTIFACT: str(model)},
        signature=mlflow.models.infer_signature(example, example),
        pip_requirements=[],
        metadata={DIGEST_TAG: model_digest(model)},
    )
    loaded = mlflow.pyfunc.load_model(str(folder / "pyfunc"))
    loaded.predict(example)  # what is compiled on first use is
    with measured() as cost:
        for path in sorted(cells.iterdir()):
            frame = pd.read_parquet(path)
            frame[markers] = loaded.predict(frame[markers])
            frame.to_parquet(folder / f"looped-{path.name}", compression="snappy")
    return cost
