"""The console script: the jobs' command line, or what is missing where their packages were not installed."""

import sys
from importlib import import_module
from importlib.util import find_spec

NEEDED = ("click", "mlflow", "psutil", "pyarrow", "ray", "tqdm")
"""What the jobs need beyond the library: the extra ``jobs``."""


def main() -> int:
    """Run the job that the arguments name; without the jobs' packages, say how to install them, with status 2."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(
            f"neuronedit: the jobs need further packages; missing are {', '.join(missing)}. Install them with "
            "pip install 'neuronedit[jobs]'. In Python, `import neuronedit` works without.",
            file=sys.stderr,
        )
        return 2
    status: int = import_module("neuronedit_jobs.cli").main()
    return status


if __name__ == "__main__":
    raise SystemExit(main())
