"""Trace an output: ``python jobs/lineage.py OUTPUT [--json] [--tracking-uri URI]``."""

import argparse
import json
import sys
from collections.abc import Sequence

from neuronedit.adapters.lineage import trace_output
from neuronedit.credentials import masked
from neuronedit.errors import NeuroneditError


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 where every link holds, 1 where one is broken, 2 where there is no manifest."""
    parser = argparse.ArgumentParser(
        prog="neuronedit lineage",
        description="Trace an output to its model, the data that the model learned from, its review and its parents.",
    )
    parser.add_argument("output", metavar="OUTPUT", help="the folder or URI that a transform wrote")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--tracking-uri", metavar="URI", help="MLflow's store; by default the one in the manifest")
    arguments = parser.parse_args(argv)
    try:
        trail = trace_output(arguments.output, arguments.tracking_uri)
    except NeuroneditError as error:
        sys.stderr.write(f"neuronedit lineage: {error}\n")
        return 2
    print(masked(json.dumps(trail.to_json(), indent=2, ensure_ascii=False) if arguments.json else trail.tree()))
    for problem in trail.broken:
        sys.stderr.write(f"neuronedit lineage: broken: {masked(problem)}\n")
    return 1 if trail.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
