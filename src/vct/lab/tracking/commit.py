"""Which commit was checked out at a time, from git's own diary; no git program is run."""

from pathlib import Path


def commit_at(root: Path, time: int) -> str | None:
    """The commit of the repository around `root` at `time`, in milliseconds since 1970.

    A run is often sent long after its training, when other code is checked out. None where the
    diary (`.git/logs/HEAD`) does not reach back, or where there is none.
    """
    found = None
    for line in _diary(root).splitlines():
        head, _, _ = line.partition("\t")
        try:
            commit, seconds = head.split(" ", 2)[1], int(head.split()[-2])
        except (IndexError, ValueError):
            continue
        if seconds * 1000 <= time:
            found = commit
    return found


def _diary(root: Path) -> str:
    for folder in (root.resolve(), *root.resolve().parents):
        git = folder / ".git"
        try:
            if git.is_file():  # a second working tree says where its files are
                git = folder / git.read_text().removeprefix("gitdir:").strip()
            if git.is_dir():
                return (git / "logs/HEAD").read_text(errors="replace")
        except OSError:
            return ""
    return ""
