"""Measure: ``python jobs/benchmark.py NAME [--quick]``."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from neuronedit.errors import NeuroneditError

BENCHMARKS = {
    "transform": "events per CPU-second, against the floors, a plain process and other tools",
    "transform-scale": "memory for up to 50 million cells and a 5 GB file, and 100,000 files",
    "accuracy": "distance to the measured truth on real cells, beside the simple methods",
    "review": "the review's 25 checks where the truth is known, its cost, its verdicts on real cells",
    "fcs": "megabytes per CPU-second of FCS files written and read, beside other libraries; and from FCS to FCS",
    "train": "events per CPU-second of training, against loops with nothing around them",
    "gpu": "events per second of editing and training on a GPU, beside what the device can do at most",
    "evidence": "what is foreseen of how edits carry over, beside what is measured, by samples left out and without",
    "combinations": "predicted and measured excess over additivity, where it is known and on real cells",
}

MODULES = {
    "transform": "speed.transform",
    "transform-scale": "speed.transform_scale",
    "accuracy": "accuracy.run",
    "review": "review.run",
    "fcs": "speed.fcs",
    "train": "speed.train",
    "gpu": "speed.gpu",
    "evidence": "accuracy.evidence",
    "combinations": "accuracy.combinations",
}

PEERS_FOLDER = Path("benchmark-output") / "peers"

ON_REAL_CELLS = ("accuracy", "combinations", "evidence", "review")
"""Benchmarks that read the folder given by ``--data``."""

BESIDE_PEERS = ("accuracy", "transform", "train", "fcs")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark: print its table and, as the last line on stdout, its figures as JSON."""
    parser = argparse.ArgumentParser(prog="benchmark.py", description=main.__doc__)
    parser.add_argument("name", choices=BENCHMARKS, help="; ".join(f"{k}: {v}" for k, v in BENCHMARKS.items()))
    parser.add_argument("--quick", action="store_true", help="small data: minutes on 2 cores")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="datasets of real cells: FOLDER/NAME/cells.parquet")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="for all tables; default benchmark-output/NAME")
    parser.add_argument(
        "--peers",
        type=Path,
        nargs="?",
        const=PEERS_FOLDER,
        metavar="FOLDER",
        help=f"measure other tools, too: installs 2 GB from the package index into FOLDER; default {PEERS_FOLDER}",
    )
    parser.add_argument("--tracking-uri", default=os.environ.get("MLFLOW_TRACKING_URI"), help="log an MLflow run there")
    arguments = parser.parse_args(argv)
    if arguments.data and arguments.name not in ON_REAL_CELLS:
        parser.error(f"--data is for {', '.join(ON_REAL_CELLS)}; {arguments.name} makes its own cells")
    if arguments.peers and (arguments.quick or arguments.name not in BESIDE_PEERS):
        parser.error(f"--peers is for {', '.join(BESIDE_PEERS)}, without --quick: it takes minutes to install them")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        return measure(arguments)
    except NeuroneditError as error:
        sys.stderr.write(f"benchmark.py {arguments.name}: {error}\n")
        return 2


def measure(arguments: argparse.Namespace) -> int:
    """Run the benchmark; write, log and print what it gives."""
    run = import_module(module_of(arguments.name)).run
    folders = {name: folder for name in ("data", "peers") if (folder := getattr(arguments, name))}
    result = run(arguments.quick, **folders)
    output = arguments.output or Path("benchmark-output") / arguments.name
    result.write(output)
    if arguments.tracking_uri:
        _log(arguments, output, result.figures)
    print(f"{result.table.round(3).to_string()}\nAll tables: {output}")
    print(json.dumps({name: round(value, 3) for name, value in result.figures.items()}))
    return 0


def module_of(name: str) -> str:
    """The module that runs a benchmark."""
    return f"neuronedit_jobs.benchmarks.{MODULES[name]}"


def _log(arguments: argparse.Namespace, output: Path, figures: Mapping[str, float]) -> None:
    # Imported here: every process that a benchmark starts imports this script, and MLflow would count as its memory.
    from neuronedit.adapters.files.storage import locate
    from neuronedit.adapters.registry.results import folder_results
    from neuronedit.adapters.registry.runs import TrackingConfig, connect, tracked_run

    connect(TrackingConfig(uri=arguments.tracking_uri))
    settings = {"benchmark": arguments.name, "quick": str(arguments.quick)}
    with tracked_run(f"benchmark {arguments.name}", settings):
        folder_results("benchmark", figures, prefix="").log(locate(str(output)))


if __name__ == "__main__":
    raise SystemExit(main())
