"""Settings of one run that the command line changes for a trial."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vct.lab.errors import UserError, quoted
from vct.lab.files.layout import RunId
from vct.lab.settings import reading, yaml_file
from vct.lab.settings.params import PARAMS, Params
from vct.lab.settings.run import run_settings


def changed(run: RunId, changes: Iterable[str], path: Path = PARAMS) -> Params:
    """params.yaml with other settings of a run, for a trial of which MLflow is not told.

    Args:
        changes: such as `train.steps=100` or `coupling.kl_weight=3`; values are YAML.

    Raises:
        UserError: if there is no such run or key, or no such value.
    """
    run_settings(reading.load(path), run)  # so that there is something to change
    content = yaml_file.read(path)
    for change in changes:
        key, equals, text = change.partition("=")
        section, *rest = key.split(".")
        if not equals or not rest or not all(rest) or section not in ("train", "coupling"):
            raise UserError(
                f"--set {quoted(change)}: write train.KEY=VALUE or coupling.KEY=VALUE, such as "
                "train.steps=100."
            )
        value = yaml_file.parse(text, f"--set {key}")
        place = ["train"] if section == "train" else ["couplings", run.coupling]
        content = _with(content, ["experiments", run.experiment, *place, *rest], value)
    content = _with(content, ["runtime", "tracking"], False)
    return reading.validate(content, f"{path} with {' '.join(f'--set {one}' for one in changes)}")


def _with(tree: Any, keys: list[str], value: Any) -> Any:
    """A copy with another value at a place; what stands there may stand elsewhere too."""
    if not keys:
        return value
    first, *rest = keys
    inside = tree if isinstance(tree, dict) else {}
    return {**inside, first: _with(inside.get(first), rest, value)}
