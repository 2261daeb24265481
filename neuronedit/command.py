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
    positional: Sequence[str] = (),
) -> int:
    """Parse the command line, load the configuration and run the job.

    Args:
        name: The job's.
        config_type: Its settings.
        job: What to run.
        argv: By default the process's own.
        positional: Settings that are given by their place, before the configuration: ``promote NAME VERSION``.

    Returns:
        The exit status: what the job returns (0: done; 3: done, but some input was quarantined),
        2 for input that a user can mend, told in one message without a traceback.
    """
    arguments = _parser(name, config_type, job.__doc__, positional).parse_args(argv)
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


def _parser(
    name: str, config_type: type[Config], description: str | None, positional: Sequence[str]
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"neuronedit {name}",
        description=description,
        epilog="settings (section.key):\n" + explain_fields(config_type),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    settings = list(top_level_settings(config_type))
    meanings = {key: meaning for key, meaning, _ in settings}
    for key in positional:
        parser.add_argument(f"setting {key}", metavar=key.upper(), help=meanings[key])
    parser.add_argument("config", nargs="?", type=Path, metavar="CONFIG.toml", help="the job's settings")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override one setting; may be given several times",
    )
    for key, meaning, is_switch in settings:
        if key in positional:
            continue
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
