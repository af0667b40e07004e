"""Which files had their content compared with the recorded hash since they last changed.

Hashing 16 GB before each stage would take longer than some stages. So what was hashed once is
trusted until a file's size, identity or times of change differ, as git and DVC do it. No program
can write to a file and leave its time of change (ctime) as it was; only a disk that loses bits
goes unseen, and `vct check-data` hashes whatever the times say.
"""

from contextlib import suppress
from pathlib import Path

from vct.lab import records
from vct.lab.errors import UserError
from vct.lab.records import HashRecord


def holds(record: Path, sha256: str, files: list[Path]) -> bool:
    """Whether `record` says that these very files hold the content of `sha256`."""
    try:
        return records.read(HashRecord, record) == _facts(sha256, files)
    except (UserError, OSError):
        return False


def note(record: Path, sha256: str, files: list[Path]) -> None:
    """Write down that the files were hashed; where that cannot be, they are hashed again."""
    with suppress(UserError):
        records.write(_facts(sha256, files), record)


def _facts(sha256: str, files: list[Path]) -> HashRecord:
    found = {}
    for file in files:
        stat = file.stat()
        found[file.name] = [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]
    return HashRecord(sha256=sha256, files=found)
