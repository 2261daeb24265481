"""Reads FCS files in an environment of its own: ``python -I read_files.py LIBRARY FOLDER``, without neuronedit.

``FOLDER/files.json`` lists the files. For each number it writes ``NUMBER.npz`` with the values, names, labels and
keywords that the library reads, or ``NUMBER.txt`` with its error.
"""

import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np


def by_fcsparser(path):
    import fcsparser

    text, frame = fcsparser.parse(path)
    numbers = range(1, int(text["$PAR"]) + 1)
    names, labels = ([text.get(f"$P{number}{letter}", "") for number in numbers] for letter in "NS")
    # Text only: fcsparser adds numbers and bytes of its own.
    return frame.to_numpy(), names, labels, {key: value for key, value in text.items() if isinstance(value, str)}


def by_flowkit(path):
    import flowkit

    sample = flowkit.Sample(path)
    return sample.get_events("raw"), sample.pnn_labels, sample.pns_labels, sample.get_metadata()


def by_readfcs(path):
    import readfcs

    found = readfcs.read(path)
    return found.X, list(found.var["channel"]), list(found.var["marker"]), found.uns["meta"]


def main(library, folder):
    warnings.simplefilter("ignore")
    logging.disable()
    read = {"fcsparser": by_fcsparser, "flowkit": by_flowkit, "readfcs": by_readfcs}[library]
    for number, path in enumerate(json.loads((folder / "files.json").read_text("utf-8"))):
        try:
            values, names, labels, keywords = read(path)
        except Exception as error:
            (folder / f"{number}.txt").write_text(f"{type(error).__name__}: {error}", "utf-8")
            continue
        told = json.dumps(
            {"names": list(map(str, names)), "labels": list(map(str, labels))}
            | {"keywords": {str(key): str(value) for key, value in keywords.items()}}
        )
        np.savez(folder / f"{number}.npz", values=np.asarray(values, np.float32), told=told)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
