"""Training events as blocks of rows, which Ray Data hands to the workers, and which these join in their order."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from neuronedit.arrays import Float32s, Texts

ROWS_PER_BLOCK = 262_144
EVENTS, SAMPLE, POPULATION, ROW = "events", "sample", "population", "row"


def event_blocks(populations: Mapping[str, Float32s], samples: Mapping[str, Texts] | None = None) -> list[pa.Table]:
    """Split populations into blocks of rows of one table.

    An event is one value of a fixed-size list: its markers lie side by side, and no column is copied apart.

    Args:
        populations: Standardised markers, (n_events, n_markers) float32 each.
        samples: By population, (n_events,) the sample of each event, where they are known.
    """
    blocks = []
    first_row = 0
    for number, (name, events) in enumerate(populations.items()):
        known = (samples or {}).get(name)
        table = pa.table(
            {
                ROW: np.arange(first_row, first_row + len(events)),
                POPULATION: np.full(len(events), number, np.int32),
                SAMPLE: _texts(known, len(events)),
                EVENTS: pa.FixedSizeListArray.from_arrays(
                    pa.array(np.ascontiguousarray(events, np.float32).ravel()), events.shape[1]
                ),
            }
        )
        first_row += len(events)
        blocks += [table.slice(start, ROWS_PER_BLOCK) for start in range(0, len(events), ROWS_PER_BLOCK)]
    return blocks


def gathered(blocks: Iterable[pa.Table], names: Sequence[str]) -> tuple[dict[str, Float32s], dict[str, Texts]]:
    """Join blocks, in any order, to the populations and samples that ``event_blocks`` was given.

    Args:
        blocks: All blocks.
        names: The populations' names, in their order.
    """
    # Ray Data promises no order; the rows' numbers restore it, so that a seed means the same events.
    in_order = sorted(blocks, key=lambda block: block[ROW][0].as_py())
    populations: dict[str, Float32s] = {}
    samples: dict[str, Texts] = {}
    for number, name in enumerate(names):
        own = [block for block in in_order if block[POPULATION][0].as_py() == number]
        populations[name] = np.concatenate([_matrix(chunk) for block in own for chunk in block[EVENTS].chunks])
        known = pa.concat_tables([block.select([SAMPLE]) for block in own])[SAMPLE]
        if known.null_count < len(known):
            samples[name] = known.to_numpy(zero_copy_only=False).astype(object)
    return populations, samples


def _texts(samples: Texts | None, n_events: int) -> pa.Array:
    if samples is None:
        return pa.nulls(n_events, pa.dictionary(pa.int32(), pa.string()))
    return pa.array(samples.astype(str), pa.string()).dictionary_encode()


def _matrix(chunk: pa.FixedSizeListArray) -> Float32s:
    values: Float32s = chunk.flatten().to_numpy()
    return values.reshape(len(chunk), chunk.type.list_size)
