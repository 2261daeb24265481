"""Receipts: what a worker leaves in the output folder for each finished output, so that none does the work again."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from neuronedit.adapters.committed_file import sha256_of
from neuronedit.adapters.storage import Location

RECEIPTS = "_receipts"


@dataclass(frozen=True)
class LeftOut:
    """Events of the input that are not in the output, and why.

    Attributes:
        file: The input file.
        row_group: None for the whole file.
        first_row: The first such event's number in the file.
        events: How many; None for a file that cannot be opened.
        reason: What is wrong with them.
    """

    file: str
    row_group: int | None
    first_row: int
    events: int | None
    reason: str


@dataclass(frozen=True)
class Receipt:
    """What became of one part of the input.

    Attributes:
        plan: The digest of the plan that wrote it.
        input: The input file's name.
        output: The output file's name.
        events: Rows of the output.
        n_bytes: Size of the output.
        sha256: Of the output's bytes; empty where nothing could be written because all of the input was left out.
        counts: How many events were edited or passed, and why.
        left_out: What of the input is not in the output.
        quality: The tally of what the edit did, as ``Tally.to_text`` gives it.
    """

    plan: str
    input: str
    output: str
    events: int
    n_bytes: int
    sha256: str
    counts: Mapping[str, int]
    left_out: tuple[LeftOut, ...] = ()
    quality: str = ""

    @property
    def written(self) -> bool:
        """Whether there is an output file."""
        return bool(self.sha256)

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Receipt":
        """The receipt whose text it is."""
        facts = json.loads(text)
        return cls(**{**facts, "left_out": tuple(LeftOut(**part) for part in facts["left_out"])})


def write_receipt(folder: Location, receipt: Receipt) -> None:
    """Leave a receipt in an output folder."""
    (folder / receipt_name(receipt.output)).write_bytes(receipt.to_json().encode())


def standing_receipt(folder: Location, output: str, plan: str) -> Receipt | None:
    """The receipt of an output that stands complete as this plan wrote it, checked by its SHA-256; None otherwise."""
    place, target = folder / receipt_name(output), folder / output
    if not place.exists:
        return None
    try:
        receipt = Receipt.from_json(place.read_bytes())
    except (ValueError, KeyError, TypeError):  # not whole, or of another version: the work is done again
        return None
    if receipt.plan != plan:
        return None
    if not receipt.written:
        return receipt
    return receipt if target.size == receipt.n_bytes and sha256_of(target) == receipt.sha256 else None


def receipt_name(output: str) -> str:
    """Where the receipt of an output is, relative to the output folder."""
    return f"{RECEIPTS}/{output}.json"
