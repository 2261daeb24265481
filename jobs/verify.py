"""Check an output against its manifest: ``python jobs/verify.py OUTPUT``."""

import click

from neuronedit.adapters.cluster.command import Command
from neuronedit.adapters.transform.manifest import verify_output
from neuronedit.errors import masked

MAX_SHOWN = 20


@click.command("verify", cls=Command)
@click.argument("output")
def main(output: str) -> int:
    """Check OUTPUT, the folder or URI that ingest, transform or export wrote, against its manifest.

    Exit status: 0 where every file is as the manifest says, 1 where one is not, 2 where there is no manifest.
    """
    shown = masked(output)
    found = verify_output(output)
    if not found.problems:
        print(f"{shown}: {found.events:,} events in {found.files} files, all as the manifest says")
        return 0
    for problem in found.problems[:MAX_SHOWN]:
        print(problem)
    print(f"{shown}: {len(found.problems)} problems among {found.files} files")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
