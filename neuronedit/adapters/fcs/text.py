"""HEADER and TEXT of an FCS file: where its segments lie, and its keywords.

TEXT is ``/KEY/value/KEY/value/``, with any byte for ``/``. A delimiter within a value is doubled. The standard forbids
empty values, and yet instruments write them (``$P3S//$P3E/4,1/``); readers that decide for a whole file what ``//``
means lose keywords of the one kind or of the other. Here its place decides: keywords are never empty, so ``//`` within
a value can only be a doubled delimiter; values never begin with a delimiter and keywords hardly ever have one, so
``//`` after a keyword is an empty value.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from neuronedit.errors import DataError

VERSIONS = ("2.0", "3.0", "3.1", "3.2")
HEADER_BYTES = 58
NEEDED_HEADER_BYTES = 42
"""Without the offsets of ANALYSIS, which some instruments leave out."""

MAX_TEXT_BYTES = 16 * 2**20
MAX_GAP_BYTES = 4096
"""How far behind the end of TEXT its last delimiter is looked for."""


@dataclass(frozen=True)
class DataSet:
    """HEADER and TEXT of one data set of a file.

    Attributes:
        start: The byte of the file where it begins; its offsets count from there.
        version: ``2.0``, ``3.0``, ``3.1`` or ``3.2``.
        keywords: Values by name, in capitals and with their ``$``; those of supplemental TEXT, too.
        text: First and last byte of TEXT.
        header_data: First and last byte of DATA as HEADER has them; (0, 0) where it does not say.
        notes: Oddities that a reader of the values should know of.
    """

    start: int
    version: str
    keywords: dict[str, str]
    text: tuple[int, int]
    header_data: tuple[int, int]
    notes: list[str] = field(default_factory=list)


def read_text(file: BinaryIO, size: int, start: int, where: str) -> DataSet:
    """Read HEADER and TEXT of the data set that begins at a byte of a file.

    Args:
        file: The open file.
        size: Its bytes.
        start: Where the data set begins.
        where: The file, for messages.

    Raises:
        DataError: There is no data set of a known version, or its segments do not lie within the file.
    """
    version, offsets = _read_header(file, size, start, where)
    begin, end = offsets[0]
    left = size - start
    if not NEEDED_HEADER_BYTES <= begin < end:
        raise DataError(
            f"{where}: expected the offsets of TEXT in the FCS file's HEADER; found {begin} and {end}. The file is "
            "damaged or truncated: copy or export it again."
        )
    if end > left:  # some instruments give the byte after the last one
        raise DataError(
            f"{where}: the FCS file is truncated: expected at least {start + end} bytes, as its header says; "
            f"found {size}. Copy or export it again."
        )
    if end == offsets[1][0]:  # the first byte of DATA
        end -= 1
    segment = _read_segment(file, start, begin, end, "TEXT", where)
    segment += _last_delimiter(file, start, end, [first for first, _ in offsets[1:] if first > end], segment)
    found = DataSet(start, version, {}, (begin, end), offsets[1])
    _add_keywords(found, segment, "TEXT")
    _add_supplemental(found, file, left, segment[:1], where)
    return found


def next_data_set(file: BinaryIO, size: int, found: DataSet) -> int | None:
    """Find the byte at which the data set that $NEXTDATA names begins; None where there is none."""
    offset = whole_number(found.keywords.get("$NEXTDATA", ""))
    start = found.start + (offset or 0)
    if not offset or offset < NEEDED_HEADER_BYTES or start > size - NEEDED_HEADER_BYTES:
        return None
    file.seek(start)
    return start if file.read(3) == b"FCS" else None


def whole_number(text: str) -> int | None:
    """Read a whole number as instruments write it, also as ``1e+05``; None where the text is none, or absurdly large.

    Example:
        >>> whole_number(" 00512 "), whole_number("1e+05"), whole_number("NA"), whole_number("9" * 5000)
        (512, 100000, None, None)
    """
    text = text.strip("\0 \t\r\n")
    if len(text) > 40:
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else None


def pairs(segment: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    r"""Take a TEXT segment apart into keywords and values; the value of a keyword without one is None.

    Example:
        >>> list(pairs(rb"/$P3S//$P3E/4,1/FILE/C://data///$TOT/9"))
        [(b'$P3S', b''), (b'$P3E', b'4,1'), (b'FILE', b'C:/data/'), (b'$TOT', b'9')]
    """
    delimiter, at = segment[:1], 1
    while at < len(segment):
        key, count, at = _word(segment, at)
        if count == 0:
            yield key, None
            return
        value, ended = [delimiter * ((count - 1) // 2)], count % 2 == 0
        while at < len(segment) and not ended:
            part, count, at = _word(segment, at)
            value.append(part + delimiter * (count // 2))
            ended = count % 2 == 1
        yield key, b"".join(value)


def _word(segment: bytes, start: int) -> tuple[bytes, int, int]:
    """What stands before the next delimiters, how many of them stand in a row, and the place behind them."""
    delimiter = segment[:1]
    stop = segment.find(delimiter, start)
    if stop < 0:
        return segment[start:], 0, len(segment)
    behind = stop
    while segment[behind : behind + 1] == delimiter:
        behind += 1
    return segment[start:stop], behind - stop, behind


def _read_header(file: BinaryIO, size: int, start: int, where: str) -> tuple[str, list[tuple[int, int]]]:
    """The version, and first and last byte of TEXT, DATA and ANALYSIS; 0 where an offset is blank or no number."""
    file.seek(start)
    header = file.read(HEADER_BYTES)
    if size == 0:
        raise DataError(f"{where}: the FCS file is empty (0 bytes). Export or copy it again.")
    if header[:6] not in [f"FCS{version}".encode() for version in VERSIONS]:
        raise DataError(
            f"{where}: expected an FCS file of version {', '.join(VERSIONS)}; found a file that begins "
            f"{header[:6]!r}. Export it as FCS 3.1, or drop it from the sample sheet."
        )
    if len(header) < NEEDED_HEADER_BYTES:
        raise DataError(
            f"{where}: the FCS file is truncated: expected at least {HEADER_BYTES} bytes, a HEADER; found {size}. "
            "Copy or export it again."
        )
    offsets = [
        whole_number(header[first : first + 8].decode("latin-1")) or 0 for first in range(10, len(header) - 7, 8)
    ]
    offsets = [max(offset, 0) for offset in offsets] + [0] * (6 - len(offsets))
    return header[3:6].decode(), list(zip(offsets[::2], offsets[1::2], strict=True))


def _read_segment(file: BinaryIO, start: int, begin: int, end: int, name: str, where: str) -> bytes:
    if end - begin + 1 > MAX_TEXT_BYTES:
        raise DataError(
            f"{where}: expected a segment {name} of at most {MAX_TEXT_BYTES:,} bytes; the FCS file's offsets "
            f"{begin} and {end} say {end - begin + 1:,}. The file is damaged: copy or export it again."
        )
    file.seek(start + begin)
    return file.read(end - begin + 1)


def _last_delimiter(file: BinaryIO, start: int, end: int, segments: list[int], text: bytes) -> bytes:
    """What lies behind an end of TEXT that cuts off its last delimiter, up to that delimiter."""
    gap = min(segments, default=0) - end - 1
    if gap <= 0 or text.endswith(text[:1]):
        return b""
    file.seek(start + end + 1)
    rest, delimiter, _ = file.read(min(gap, MAX_GAP_BYTES)).partition(text[:1])
    return rest + delimiter if delimiter else b""


def _add_keywords(found: DataSet, segment: bytes, name: str) -> None:
    """Add a segment's keywords; one that is there already stays."""
    added: dict[str, str] = {}
    for raw_key, raw_value in pairs(segment):
        key = " ".join(_decoded(raw_key).replace("\0", " ").split()).upper()
        if raw_value is None:  # TEXT ends in the midst of a keyword, or in padding
            continue
        value = _decoded(raw_value)
        twin = (found.keywords.get(key) or added.get(key, "")).strip()
        if not twin:
            added[key] = value
        elif key.startswith("$") and value.strip() not in ("", twin) and not key.startswith(("$BEGIN", "$END")):
            found.notes.append(f"{name} gives {key} twice: {twin[:40]!r}, which is used, and {value.strip()[:40]!r}")
    found.keywords.update(added)


def _decoded(raw: bytes) -> str:
    """Text in UTF-8, as FCS 3.1 asks, or else in Latin-1, as older instruments write; each value by itself."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _add_supplemental(found: DataSet, file: BinaryIO, left: int, delimiter: bytes, where: str) -> None:
    begin, end = (whole_number(found.keywords.get(key, "")) or 0 for key in ("$BEGINSTEXT", "$ENDSTEXT"))
    if found.version == "2.0" or begin <= 0 or end <= begin or begin == found.text[0]:
        return
    segment = b""
    if end <= left and begin >= NEEDED_HEADER_BYTES:
        segment = _read_segment(file, found.start, begin, end, "supplemental TEXT", where)
    if segment[:1] == delimiter:
        _add_keywords(found, segment, "supplemental TEXT")
    else:
        found.notes.append(
            f"no supplemental TEXT lies at $BEGINSTEXT {begin} to $ENDSTEXT {end}; what it says, if anything, is lost"
        )
