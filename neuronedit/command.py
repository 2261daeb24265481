"""How every job is called: ``JOB CONFIG.toml --set section.key=value``; top-level settings are options, too."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from neuronedit.config import Config, explain_fields, top_level_settings
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
    arguments = _parser(name, config_type, job.__doc__).parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if arguments.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
        force=True,
    )
    logging.getLogger("neuronedit").setLevel(logging.INFO)
    try:
        return job(config_type.load(arguments.config, [*arguments.overrides, *_options(arguments)]))
    except NeuroneditError as error:
        sys.stderr.write(f"neuronedit {name}: {error}\n")
        return 2


def _parser(name: str, config_type: type[Config], description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"neuronedit {name}",
        description=description,
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
    for key, meaning, is_switch in top_level_settings(config_type):
        parser.add_argument(
            f"--{key.replace('_', '-')}",
            dest=f"setting {key}",
            metavar="VALUE",
            help=meaning,
            nargs="?" if is_switch else None,
            const="true" if is_switch else None,
        )
    parser.add_argument("--verbose", action="store_true", help="log more")
    return parser


def _options(arguments: argparse.Namespace) -> list[str]:
    """Options such as ``--on-error quarantine`` as the overrides that they stand for."""
    given = {
        name: value for name, value in vars(arguments).items() if name.startswith("setting ") and value is not None
    }
    return [f"{name.removeprefix('setting ')}={value}" for name, value in given.items()]
