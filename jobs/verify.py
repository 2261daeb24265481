"""Check an output against its manifest: ``python jobs/verify.py OUTPUT``."""

import argparse
import sys
from collections.abc import Sequence

from neuronedit.adapters.verify import verify_output
from neuronedit.credentials import masked
from neuronedit.errors import NeuroneditError

MAX_SHOWN = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 where every file is as the manifest says, 1 where one is not, 2 where there is no manifest."""
    parser = argparse.ArgumentParser(prog="neuronedit verify", description=__doc__)
    parser.add_argument("output", metavar="OUTPUT", help="the folder or URI that a transform wrote")
    output = parser.parse_args(argv).output
    shown = masked(output)
    try:
        found = verify_output(output)
    except NeuroneditError as error:
        sys.stderr.write(f"neuronedit verify: {error}\n")
        return 2
    if not found.problems:
        print(f"{shown}: {found.events:,} events in {found.files} files, all as the manifest says")
        return 0
    for problem in found.problems[:MAX_SHOWN]:
        print(problem)
    print(f"{shown}: {len(found.problems)} problems among {found.files} files")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
