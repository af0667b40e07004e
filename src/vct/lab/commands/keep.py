"""`vct keep SUITE`: copy small files of finished runs to where git keeps them."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from vct.lab.files.layout import kept_dir
from vct.lab.runs import kept, kept_extractors
from vct.lab.settings.params import Params


def keep(params: Params, name: str) -> None:
    """Write `results/SUITE/runs/`."""
    kept_extractors.keep(params, name)  # kept runs count by what stands beside them
    count, total = kept.keep(params, name)
    print(f"{kept_dir(name)} keeps {count} of {total} runs of suite {name}", file=sys.stderr)
    if count and _ignored(kept_dir(name)):
        print(f"git ignores them: add !/results/{name}/ to .gitignore", file=sys.stderr)


def _ignored(folder: Path) -> bool:
    with suppress(OSError):  # no git
        command = ["git", "check-ignore", "-q", str(folder / "any")]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False
