"""Whether an output is still what its manifest vouches for."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from neuronedit.adapters.committed_file import sha256_of
from neuronedit.adapters.output_folder import MANIFEST, STARTED
from neuronedit.adapters.parquet import open_parquet
from neuronedit.adapters.storage import Location, locate
from neuronedit.errors import DataError, OutputError

READERS = 8
"""Files that are read at once."""


@dataclass(frozen=True)
class Verification:
    """What was found: the manifest's files and events, and a sentence for everything that is wrong."""

    files: int
    events: int
    problems: tuple[str, ...]


def read_manifest(uri: str) -> dict[str, Any]:
    """The manifest of an output.

    Raises:
        OutputError: There is none: the folder is not a transform's finished output.
        StorageError: The storage does not answer.
    """
    location = locate(uri)
    if not (location / MANIFEST).exists:
        unfinished = (location / STARTED).exists
        raise OutputError(
            f"{uri}: no {MANIFEST}. "
            + (
                "A transform was started here and did not finish: run it again with resume = true."
                if unfinished
                else "Expected the output folder of a transform."
            )
        )
    return (location / MANIFEST).read_json()


def verify_output(uri: str) -> Verification:
    """Compare every file of an output with the manifest: presence, size, rows, SHA-256; and look for surplus files.

    Raises:
        OutputError: There is no manifest: the folder is not a transform's finished output.
        StorageError: The storage does not answer.
    """
    location, manifest = locate(uri), read_manifest(uri)
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda output: _problem(location, output), manifest["outputs"])
        problems = [problem for problem in found if problem]
    problems += _surplus(location, {output["file"] for output in manifest["outputs"]})
    return Verification(len(manifest["outputs"]), manifest["events"], tuple(problems))


def _problem(location: Location, output: Mapping[str, Any]) -> str | None:
    name, target = output["file"], location / output["file"]
    if (size := target.size) is None:
        return f"{name}: missing"
    if size != output["bytes"]:
        return f"{name}: {size:,} bytes, expected {output['bytes']:,}"
    if sha256_of(target) != output["sha256"]:
        return f"{name}: the content changed (SHA-256 differs)"
    try:
        with open_parquet(target.filesystem, target.path) as parquet:
            n_events = parquet.metadata.num_rows
    except DataError as error:
        return f"{name}: {error}"
    return None if n_events == output["events"] else f"{name}: {n_events:,} events, expected {output['events']:,}"


def _surplus(location: Location, expected: set[str]) -> Iterator[str]:
    start = len(location.path.rstrip("/")) + 1
    for info in location.files():
        name = info.path[start:]
        hidden = any(part[0] in "._" for part in name.split("/"))
        if name.endswith((".parquet", ".pq")) and not hidden and name not in expected:
            yield f"{name}: not of this output, and readers would take it for a part"
