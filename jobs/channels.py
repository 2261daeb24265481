"""List the channels of FCS files: ``python jobs/channels.py FILES... [--panel panel.csv]``."""

from pathlib import Path

import click

from neuronedit.adapters.cluster.command import Command
from neuronedit.adapters.fcs.channel_list import channel_table, differences, list_channels, panel_text
from neuronedit.adapters.fcs.file import read_fcs
from neuronedit.errors import OutputError


@click.command("channels", cls=Command)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--panel", type=click.Path(path_type=Path), help="write a panel to fill in; a file that exists is refused"
)
def main(files: tuple[Path, ...], panel: Path | None) -> int:
    """List the channels of FILES, FCS files, with their labels, ranges and gains, and what differs between the files.

    Exit status: 0, also where files differ; 2 where one cannot be read.
    """
    read = {str(path): read_fcs(path) for path in files}
    channels = list_channels(read)
    print("\n".join(channel_table(channels, len(read))))
    for difference in differences(read, channels):
        print(difference)
    for name, fcs in read.items():
        for note in fcs.notes:
            print(f"{name}: {note}")
    if panel is not None:
        write_new(panel, panel_text(channels))
        print(
            f"{panel}: name the markers; the role ignore leaves a channel out; check cofactors; then give it to ingest "
            "and train"
        )
    return 0


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet."""
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError as error:
        raise OutputError(f"{path}: the file exists. Choose another name, or remove it.") from error
    except OSError as error:
        raise OutputError(f"{path}: the file cannot be written ({error.strerror}). Choose another.") from error


if __name__ == "__main__":
    raise SystemExit(main())
