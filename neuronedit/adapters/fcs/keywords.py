"""Keywords of an FCS 3.1 file: its TEXT segment, and those of a source that stay true of its edited events."""

import re
from collections.abc import Mapping, Sequence

from neuronedit.cells.compensation import read_spillover
from neuronedit.errors import DataError

DELIMITERS = (
    *"\x0c\x1e\x1f\x1d\x1c!~#%&/;|",
    *(chr(code) for code in (*range(1, 9), *range(14, 28))),
    *"=@:<>,_\"'`-",
)
"""Delimiters in the order of preference: not those that readers take for a pattern, a space, or a line's end."""

_STRUCTURE = re.compile(
    r"\$(?:(?:BEGIN|END)(?:DATA|STEXT|ANALYSIS)|BYTEORD|DATATYPE|FIL|MODE|NEXTDATA|PAR|TOT|TIMESTEP|UNICODE"
    r"|LAST_MODIFIED|LAST_MODIFIER|ORIGINALITY|GATING|CS(?:MODE|TOT|VBITS|V\d+FLAG)|R\d+[IW]|G\d+[A-Z]|PKN?\d+)"
    r"|GUID|FILENAME|FCSVERSION|TRANSFORMATION|FLOWCORE_.*"
)
"""Keywords that an edited file has of its own, or that are no longer true of it."""

_STANDARD = re.compile(
    r"ABRT|BTIM|CELLS|COM|COMP|CYT|CYTSN|DATE|DFC\d+TO\d+|ETIM|EXP|GUID|INST|LOST|OP|ORIGINALGUID|PLATEID|PLATENAME|PROJ"
    r"|SMNO|SPILL|SPILLOVER|SRC|SYS|TR|VOL|WELLID|P\d+[A-Z]+"
)
"""Names of standard keywords, without their ``$``, beside those of the structure."""

_BLANK = "\0 \t\r\n"

_CHANNEL = re.compile(r"(\$?P)([1-9]\d*)([A-Z]+)")
_NOT_KEPT = ("B", "E", "G", "R", "N", "S", "D", "CALIBRATION", "DATATYPE")
"""Ends of ``$PnX`` that are written anew or depend on the old scale."""

_BY_NAME = frozenset(("$SPILLOVER", "SPILLOVER", "$SPILL", "SPILL"))
_BY_NUMBER = re.compile(r"\$?COMP|\$DFC\d+TO\d+")
PRIVATE_MATRIX = "NEURONEDIT_SPILLOVER"
"""Keeps a matrix that a reader must not apply: it was applied, or does not fit the file's channels."""


def text_segment(keywords: Mapping[str, str]) -> bytes:
    r"""Write the TEXT segment of an FCS file, UTF-8.

    Args:
        keywords: Values by name. Empty values are left out, which readers disagree on; bytes 0 become spaces.

    Example:
        >>> text_segment({"$PAR": "2", "$SMNO": "", "$COM": "CD3|CD4"})
        b'\x0c$PAR\x0c2\x0c$COM\x0cCD3|CD4\x0c'
    """
    pairs = [(key, value.replace("\0", " ")) for key, value in keywords.items() if key and value.strip(_BLANK)]
    words = [word for pair in pairs for word in pair]
    delimiter = choose_delimiter(words)
    written = "".join(_escaped(word, delimiter) + delimiter for word in words)
    return f"{delimiter}{written}".encode("utf-8", "replace")


def choose_delimiter(words: Sequence[str]) -> str:
    r"""Choose a delimiter that is in no keyword or value; or else one that begins and ends none, or few.

    Readers disagree on what a doubled delimiter means, least on one within a value.

    Example:
        >>> choose_delimiter(["$COM", "a form feed \x0c in a value"])
        '\x1e'
    """
    everything = "".join(words)
    free = next((delimiter for delimiter in DELIMITERS if delimiter not in everything), None)
    ends = [word[0] for word in words] + [word[-1] for word in words]
    return free or min(DELIMITERS, key=lambda delimiter: (ends.count(delimiter), everything.count(delimiter)))


def kept_keywords(source: Mapping[str, str], channels: Sequence[str], *, compensated: bool) -> dict[str, str]:
    """Choose the keywords of a source that stay true of its edited events; those of channels are numbered anew.

    Args:
        source: The source's keywords, with their ``$``.
        channels: Names ($PnN) of the channels that are written.
        compensated: Whether the source's matrix was applied; a reader must not apply it again.

    Returns:
        Keywords without empty values; nothing of the file's structure, and a matrix only where a reader may apply it.

    Example:
        >>> kept_keywords(
        ...     {"$CYT": "Aurora", "$TOT": "9", "$P2N": "B1", "$P2V": "450", "$P2G": "8"}, ["B1"], compensated=False
        ... )
        {'$CYT': 'Aurora', '$P1V': '450'}
    """
    source = {key.strip().upper(): value for key, value in source.items()}
    names = {int(found[2]): value.strip() for key, value in source.items() if (found := _named(key, "N"))}
    number = {old: channels.index(name) + 1 for old, name in names.items() if name in channels}
    same_order = [names[old] for old in sorted(names)] == list(channels)
    kept: dict[str, str] = {}
    for key, value in source.items():
        if not value.strip(_BLANK) or _STRUCTURE.fullmatch(key):
            continue
        if found := _CHANNEL.fullmatch(key):
            if int(found[2]) in number and found[3] not in _NOT_KEPT:
                kept[f"{found[1]}{number[int(found[2])]}{found[3]}"] = value
        elif key in _BY_NAME or _BY_NUMBER.fullmatch(key):
            fits = _fits(value, channels) if key in _BY_NAME else same_order
            if fits and not compensated:
                kept[key] = value
            elif key in _BY_NAME:
                kept.setdefault(PRIVATE_MATRIX, value)
        elif not (compensated and key == "APPLY COMPENSATION"):
            kept[key] = value
    return without_twins(kept)


def source_range(source: Mapping[str, str], channel: str) -> int:
    """The range ($PnR) of a source's channel, as a whole number; 0 where it is not known or makes no sense.

    Example:
        >>> source_range({"$P1N": "B1", "$P1R": "262144"}, "B1")
        262144
    """
    for key, value in source.items():
        if (found := _named(key.strip().upper(), "N")) and value.strip() == channel:
            told = source.get(f"$P{found[2]}R", "").strip()
            return int(told) if told.isdecimal() and int(told) <= 2**32 else 0
    return 0


def without_twins(keywords: Mapping[str, str]) -> dict[str, str]:
    """Leave out what some readers cannot tell from a standard keyword: ``P5G`` beside ``$P5G``.

    Example:
        >>> without_twins({"$CYT": "Aurora", "CYT": "other"})
        {'$CYT': 'Aurora'}
    """
    return {key: value for key, value in keywords.items() if f"${key}" not in keywords}


def is_standard(name: str) -> bool:
    """Whether a private keyword of this name would be taken for a standard one by readers that strip ``$``.

    Example:
        >>> is_standard("DATE"), is_standard("SAMPLE_ID")
        (True, False)
    """
    return bool(_STANDARD.fullmatch(name) or _STRUCTURE.fullmatch(f"${name}"))


def _named(key: str, end: str) -> re.Match[str] | None:
    found = _CHANNEL.fullmatch(key)
    return found if found and found[1] == "$P" and found[3] == end else None


def _fits(matrix: str, channels: Sequence[str]) -> bool:
    """Whether a spillover matrix is well-formed and all of its channels are among these."""
    try:
        return set(read_spillover({"SPILL": matrix}, "").channels) <= set(channels)
    except DataError:
        return False


def _escaped(word: str, delimiter: str) -> str:
    if delimiter not in word:
        return word
    # A delimiter at an end would run into the one that ends the word: no reader has trouble with a space.
    begins, ends = word.startswith(delimiter), word.endswith(delimiter)
    return " " * begins + word.replace(delimiter, 2 * delimiter) + " " * ends
