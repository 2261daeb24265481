"""What a transform's workers are handed: input files, huge ones in parts, each with one output file of its own."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from posixpath import splitext

from pyarrow import fs

from neuronedit.adapters.file_blocks import RowGroup, row_groups
from neuronedit.adapters.parquet import FOOTER_READERS, EventFile, open_parquet
from neuronedit.errors import DataError


@dataclass(frozen=True)
class FilePart:
    """Consecutive row groups of an input file that become one output file.

    Attributes:
        file: The input.
        output: The output's name, relative to the output folder: the input's own where it is not divided.
        first_group: The first row group.
        stop_group: The one after the last; None for all to the end of the file.
        n_events: How many events these row groups have.
    """

    file: EventFile
    output: str
    first_group: int
    stop_group: int | None
    n_events: int

    @classmethod
    def whole(cls, file: EventFile) -> "FilePart":
        """A file as a single part."""
        return cls(file, file.name, 0, None, file.n_events)


def file_parts(files: Sequence[EventFile], filesystem: fs.FileSystem, max_bytes: int) -> list[FilePart]:
    """The parts of all files, in order; files of more than ``max_bytes`` are divided where row groups end.

    A part is as near ``max_bytes`` as its row groups allow, so that one huge file is work for many workers and no
    output is larger than what an object store copies in one go.

    Raises:
        DataError: Two parts would have the same output name.
    """
    parts = divided(files, filesystem, max_bytes)
    names = [part.output for part in parts]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{twice}: a part of a large file would have the name of another file. Rename that one.")
    return parts


def divided(files: Sequence[EventFile], filesystem: fs.FileSystem, max_bytes: int) -> list[FilePart]:
    """The same parts for those who only read them: whatever their outputs would be called."""
    with ThreadPoolExecutor(FOOTER_READERS) as pool:
        return [
            part for of_file in pool.map(lambda file: _parts(file, filesystem, max_bytes), files) for part in of_file
        ]


def _parts(file: EventFile, filesystem: fs.FileSystem, max_bytes: int) -> list[FilePart]:
    if file.n_bytes <= max_bytes:
        return [FilePart.whole(file)]
    with open_parquet(filesystem, file.path) as parquet:
        runs = list(_runs(row_groups(parquet.metadata), max_bytes))
    if len(runs) == 1:
        return [FilePart.whole(file)]
    stem, extension = splitext(file.name)
    return [
        FilePart(
            file,
            f"{stem}-{number:05}-of-{len(runs):05}{extension}",
            run[0].number,
            run[-1].number + 1,
            sum(group.n_events for group in run),
        )
        for number, run in enumerate(runs, 1)
    ]


def _runs(groups: Sequence[RowGroup], max_bytes: int) -> Iterator[list[RowGroup]]:
    """Consecutive row groups of up to ``max_bytes`` together; a larger one stands alone."""
    run: list[RowGroup] = []
    for group in groups:
        if run and sum(member.n_bytes for member in run) + group.n_bytes > max_bytes:
            yield run
            run = []
        run.append(group)
    if run:
        yield run
