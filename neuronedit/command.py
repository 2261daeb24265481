"""How every job is called: ``JOB CONFIG.toml --set section.key=value``."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from neuronedit.config import Config, explain_fields
from neuronedit.errors import NeuroneditError

ConfigType = TypeVar("ConfigType", bound=Config)


def run_job(
    name: str,
    config_type: type[ConfigType],
    job: Callable[[ConfigType], int],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse the command line, load the configuration and run the job.

    Returns:
        The exit status: what the job returns (0: done; 3: done, but some input was quarantined),
        2 for input that a user can mend, told in one message without a traceback.
    """
    parser = argparse.ArgumentParser(
        prog=f"neuronedit {name}",
        description=job.__doc__,
        epilog="settings (section.key):\n" + explain_fields(config_type),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", nargs="?", type=Path, metavar="CONFIG.toml", help="the job's settings")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override one setting; may be given several times",
    )
    parser.add_argument("--verbose", action="store_true", help="log more")
    arguments = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if arguments.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
        force=True,
    )
    logging.getLogger("neuronedit").setLevel(logging.INFO)
    try:
        return job(config_type.load(arguments.config, arguments.overrides))
    except NeuroneditError as error:
        sys.stderr.write(f"neuronedit {name}: {error}\n")
        return 2
