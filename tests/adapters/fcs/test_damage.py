import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_damaged_files_are_read_or_refused_in_little_memory():
    done = subprocess.run(
        [sys.executable, "-m", "tests.adapters.fcs.damage", "0", "1500"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    n_read, n_refused = map(int, re.fullmatch(r"(\d+) read, (\d+) refused\n", done.stdout).groups())
    assert n_read > 200
    assert n_refused > 200
