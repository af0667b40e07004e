"""Files that wait in the state folder to become parts of an output: what they must still be."""

from pathlib import Path

from vct.lab.errors import UserError
from vct.lab.files.whole import file_sha256


class Parts:
    """Hashes of the files that a training has put aside, by name; checkpoints carry them.

    The files wait for days. One that was damaged or lost meanwhile cannot be made again, and must
    not become part of an output.
    """

    def __init__(self) -> None:
        self.hashes: dict[str, str] = {}

    def add(self, path: Path) -> None:
        """Note what was just written."""
        self.hashes[path.name] = file_sha256(path)

    def check(self, folder: Path) -> None:
        """Compare all files with what was written.

        Raises:
            UserError: naming the first that differs or is missing.
        """
        for name, known in self.hashes.items():
            path = folder / name
            if not path.exists() or file_sha256(path) != known:
                raise UserError(
                    f"{path} is missing or damaged, and only a training from its beginning makes "
                    "it again: run the same command with --fresh."
                )
