"""Names of markers and channels: which are the same, and which are no marker's."""

import logging
import re
import unicodedata
from collections.abc import Iterable

from neuronedit.errors import listing

log = logging.getLogger(__name__)

_NO_MARKER = re.compile(
    r"(hdr-?t|time[ _-]?\d*|timestamp|(event|cell)[ _-]?(length|number|id|#)|event|center|offset|width|residual"
    r"|(fsc|ssc|bsc|fs|ss|fwd)\d*([ _-].*)?|((forward|side|back|backward)[ _-]?)?scatter.*|(.*[ _-])?beads?[ _-]?\d*)"
)
"""What instruments write beside the intensities of markers."""


def comparable(name: str) -> str:
    """Give a name in the one form in which names that look alike are equal: composed letters, and one kind of µ.

    Example:
        >>> comparable("TNF-\u00b5") == comparable("TNF-\u03bc"), comparable("e\u0301") == comparable("\u00e9")
        (True, True)
    """
    return unicodedata.normalize("NFC", name).replace("\u00b5", "\u03bc").replace("\u2126", "\u03a9").strip()


def no_markers(names: Iterable[str]) -> list[str]:
    """Find the names of what is no marker: time, scatter, event length, and what else instruments write.

    Example:
        >>> no_markers(["CD3", "SSEA-4", "Time", "FSC-A", "SSC-B-H", "Event_length", "Width", "140Ce_beads"])
        ['Time', 'FSC-A', 'SSC-B-H', 'Event_length', 'Width', '140Ce_beads']
    """
    return [name for name in names if _NO_MARKER.fullmatch(name.strip().casefold())]


def tell_no_markers(markers: Iterable[str], where: str) -> None:
    """Warn of markers that are none, by their names; ``where`` they are listed.

    Example:
        >>> tell_no_markers(["CD3", "CD4"], "panel.csv")
    """
    strange = no_markers(markers)
    if strange:
        log.warning(
            "%s: %s: no marker by its name, and yet an edit would change it like one. Take it out of the panel, "
            "unless that is meant.",
            where,
            listing(strange),
        )
