"""What no transform can beat: moving the bytes, and the model's matrix products."""

from pathlib import Path
from time import process_time

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from neuronedit.autoencoder import Architecture, Autoencoder

from .event_files import N_MARKERS, SAMPLE
from .measure import Cost, measured

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
