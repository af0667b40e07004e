"""Reading params.yaml: typed, validated, unknown keys are errors."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vct.lab.errors import UserError
from vct.lab.settings import yaml_file
from vct.lab.settings.base import Section
from vct.lab.settings.params import PARAMS, Params
from vct.lab.settings.sentences import sentence


def load(path: str | Path = PARAMS) -> Params:
    """Read and validate params.yaml.

    Raises:
        UserError: one sentence with the path of the first wrong key and what is allowed there.
    """
    return validate(yaml_file.read(path), str(path))


def validate(content: Any, source: str = str(PARAMS)) -> Params:
    """Check what params.yaml holds; see `load`."""
    if content is None:
        raise UserError(
            f"{source} is empty; it must hold the sections datasets, experiments and suites, as "
            "docs/settings.md describes them."
        )
    if problem := yaml_file.impurity(content):
        raise UserError(f"{source}: {problem}.")
    content = _with_default_raw(_with_default_kinds(content))
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{source}: {sentence(error, content, _all_keys())}") from None


def _all_keys() -> list[str]:
    """Every key that some section knows, to offer the nearest one."""
    found, waiting = set[str](), [Section]
    while waiting:
        section = waiting.pop()
        found |= section.model_fields.keys()
        waiting += section.__subclasses__()
    return sorted(found)


def _with_default_kinds(content: Any) -> Any:
    """`couplings: {ot: {}}` means kind ot: the name is the kind unless another is given."""
    if not isinstance(content, dict) or not isinstance(content.get("experiments"), dict):
        return content
    experiments = {}
    for name, experiment in content["experiments"].items():
        couplings = experiment.get("couplings") if isinstance(experiment, dict) else None
        if isinstance(couplings, dict):
            couplings = {
                key: {"kind": key, **value} if isinstance(value, dict) else value
                for key, value in couplings.items()
            }
            experiment = {**experiment, "couplings": couplings}
        experiments[name] = experiment
    return {**content, "experiments": experiments}


def _with_default_raw(content: Any) -> Any:
    """An image folder is looked for under its data set's own name unless another is given."""
    datasets = content.get("datasets") if isinstance(content, dict) else None
    if not isinstance(datasets, dict):
        return content
    filled = {
        name: {"raw": name, **settings}
        if isinstance(settings, dict) and settings.get("source") == "image_folder"
        else settings
        for name, settings in datasets.items()
    }
    return {**content, "datasets": filled}
