"""Damages FCS files at random and reads them, in little memory: ``python -m tests.adapters.fcs.damage SEED COUNT``."""

import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

from neuronedit.adapters.fcs.file import read_fcs
from neuronedit.cells.compensation import match_channels, read_spillover
from neuronedit.errors import NeuroneditError
from tests.fcs_files import fcs_bytes

MORE_BYTES = 400 * 2**20
"""Of address space, beyond what Python and NumPy have taken: a block is 64 MiB, some of its steps need it thrice."""

CHANNELS = ["FSC-A", "FITC-A", "Time"]
VALUES = [
    "0",
    "-1",
    "1e5",
    "9" * 8,
    "9" * 13,
    "9" * 30,
    "9" * 5000,
    "NA",
    "",
    " ",
    "58",
    "inf",
    "nan",
    "2,1",
    "é",
    "\0",
    "D",
]
KINDS = [np.float32, np.float64, np.uint8, np.uint16, np.uint32]


def damaged(random: np.random.Generator) -> bytes:
    """A sound file with one to three faults."""
    kind = KINDS[random.integers(len(KINDS))]
    values = random.integers(0, 200, (random.integers(1, 40), 3)).astype(kind)
    keywords = {"SPILL": "2,FSC-A,FITC-A,1,0.25,0.5,1", "$BEGINSTEXT": "0", "$ENDSTEXT": "0", "$TIMESTEP": "0.1"}
    names = [
        "$PAR",
        "$TOT",
        "$NEXTDATA",
        "$P1B",
        "$P2R",
        "$P2E",
        "$P1G",
        "$BYTEORD",
        "$DATATYPE",
        "$MODE",
        "$P2N",
        "$P2S",
    ]
    names += ["$BEGINSTEXT", "$ENDSTEXT", "$BEGINDATA", "$ENDDATA", "$ENDANALYSIS", "SPILL", "$TIMESTEP", "$P1DATATYPE"]
    version = ["2.0", "3.0", "3.1", "3.2"][random.integers(4)]
    if random.random() < 0.5:
        keywords[names[random.integers(len(names))]] = VALUES[random.integers(len(VALUES))]
    content = bytearray(fcs_bytes(values, CHANNELS, version=version, keywords=keywords, order="<>"[random.integers(2)]))
    for _ in range(random.integers(1, 4)):
        match random.integers(5):
            case 0:
                content[random.integers(len(content))] = random.integers(256)
            case 1:
                place = 10 + 8 * random.integers(6)
                content[place : place + 8] = f"{VALUES[random.integers(len(VALUES))][:8]:>8}".encode()[:8]
            case 2:
                del content[random.integers(6, len(content) + 1) :]
            case 3:
                content += bytes(random.integers(0, 256, random.integers(1, 99)).tolist())
            case 4:
                begin = random.integers(len(content))
                content[begin : begin + random.integers(9)] = b"|" * random.integers(9)
        if len(content) < 60:
            break
    return bytes(content)


def main() -> None:
    """Read damaged files, and print how many were read and refused."""
    seed, count = map(int, sys.argv[1:])
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MORE_BYTES, taken + MORE_BYTES))
    n_read = n_refused = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.fcs")
        for number in range(count):
            content = damaged(np.random.default_rng([seed, number]))
            path.write_bytes(content)
            try:
                fcs = read_fcs(path)
                n_events = sum(len(block) for block in fcs.blocks())
                assert n_events == fcs.n_events
                if "SPILL" in fcs.keywords:
                    labels = [channel.label for channel in fcs.described]
                    match_channels(read_spillover(fcs.keywords, str(path)), fcs.channels, labels, str(path))
                n_read += 1
            except NeuroneditError as error:
                assert str(path) in str(error), error  # noqa: PT017 - it is no test
                n_refused += 1
            except BaseException:
                sys.stderr.write(f"seed {seed}, number {number}: {content!r}\n")
                raise
    sys.stdout.write(f"{n_read} read, {n_refused} refused\n")


if __name__ == "__main__":
    main()
