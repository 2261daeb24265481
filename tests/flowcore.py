"""FCS files read as other programs read them: by the rules of R's flowCore, and by flowio."""

from pathlib import Path

import flowio
import numpy as np


def events_of(path: Path) -> np.ndarray:
    """The numbers of an FCS file as they stand there: (n_events, n_channels), by flowio."""
    flow = flowio.FlowData(path)
    return np.array(flow.events, dtype=np.float32).reshape(-1, flow.channel_count)


def text_by_flowcore(content: bytes, *, empty_value: bool) -> dict[str, str]:
    """TEXT by the two rules of flowCore's ``read.FCS``.

    With ``emptyValue=TRUE`` each delimiter ends a word, and a doubled one stands for an empty word; with FALSE a
    doubled one stands for itself.
    """
    start, last = int(content[10:18]), int(content[18:26])
    text = content[start : last + 1].decode()
    delimiter, text = text[0], text[1:]
    assert text.endswith(delimiter)
    if empty_value:
        words = text[: -len(delimiter)].split(delimiter)
    else:
        hidden = "\0neither\0"
        assert hidden not in text
        words = [
            word.replace(hidden, delimiter)
            for word in text.replace(2 * delimiter, hidden).removesuffix(delimiter).split(delimiter)
        ]
    assert len(words) % 2 == 0, words
    return dict(zip(words[::2], words[1::2], strict=True))


def read_by_flowcore(content: bytes, *, empty_value: bool = True) -> tuple[dict[str, str], np.ndarray]:
    """Keywords and events by flowCore's rules: HEADER against TEXT, $TOT, and values above $PnR cut to it."""
    text = text_by_flowcore(content, empty_value=empty_value)
    begin, last = int(text["$BEGINDATA"]), int(text["$ENDDATA"])
    if begin <= last <= 99_999_999:
        assert (int(content[26:34]), int(content[34:42])) == (begin, last), "HEADER and TEXT disagree"
    assert text["$DATATYPE"] == "F"
    assert text["$BYTEORD"] == "1,2,3,4"
    n_channels, n_events = int(text["$PAR"]), int(text["$TOT"])
    assert last - begin + 1 == 4 * n_channels * n_events
    events = np.frombuffer(content[begin : last + 1], "<f4").reshape(n_events, n_channels).astype(float)
    names = [text[f"$P{number}N"] for number in range(1, n_channels + 1)]
    assert len(set(names)) == n_channels
    # The stricter of the two readings of the range: whole numbers below it are the last that fit.
    ranges = np.array([float(text[f"$P{number}R"]) for number in range(1, n_channels + 1)])
    assert np.isfinite(ranges).all()
    return text, np.minimum(events, ranges - 1)
