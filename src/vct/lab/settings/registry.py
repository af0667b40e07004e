"""Name → class: the only dispatch in the project.

A built-in is known by a short name; a dotted path (`mypackage.module.Class`, or `module.Class` for
a file beside params.yaml) names a user's own class. Modules are imported when a class is asked for,
so that reading settings stays instant.
"""

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vct.lab.errors import UserError, quoted

BUILT_IN: dict[str, dict[str, str]] = {
    "coupling": {
        "independent": "vct.couplings.independent:Independent",
        "ot": "vct.couplings.minibatch_ot:MinibatchOT",
        "sinkhorn": "vct.couplings.sinkhorn:Sinkhorn",
        "variational": "vct.couplings.variational:Variational",
        "generator_augmented": "vct.couplings.generator_augmented:GeneratorAugmented",
    },
    "kernel": {
        "ve": "vct.kernels:VarianceExploding",
        "li": "vct.kernels:LinearInterpolation",
    },
    "objective": {
        "ict": "vct.objectives.ict:ICT",
        "ecm": "vct.objectives.ecm:ECM",
        "edm": "vct.objectives.edm:EDM",
    },
    "network": {
        "mlp": "vct.networks.mlp:MLP",
        "ddpmpp": "vct.networks.unet:DDPMpp",
        "ncsnpp": "vct.networks.unet:NCSNpp",
        "adm": "vct.networks.adm:ADM",
        "edm2": "vct.networks.edm2:EDM2",
    },
    "data source": {
        "mixture": "vct.lab.data.sources.mixture:mixture",
        "digits": "vct.lab.data.sources.digits:digits",
        "mnist": "vct.lab.data.sources.mnist:mnist",
        "torchvision": "vct.lab.data.sources.torchvision_sets:torchvision_set",
        "stand_in": "vct.lab.data.sources.stand_in:stand_in",
        "image_folder": "vct.lab.data.sources.image_folder:ImageFolder",
    },
}


def names(family: str) -> list[str]:
    """The built-in names of a family, such as "coupling"."""
    return list(BUILT_IN[family])


def find(family: str, name: str) -> Any:
    """The class (or function) called `name` in `family`.

    Raises:
        UserError: if there is none; the nearest names are offered.
    """
    target = BUILT_IN[family].get(name)
    if target is not None:
        module, attribute = target.split(":")
        return getattr(importlib.import_module(module), attribute)
    if "." in name:
        return _own(family, name)
    raise UserError(unknown(family, name, names(family)))


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """One sentence on an unknown name, with the nearest known ones."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}."
    return f"there is no {what} {quoted(name)}; {hint}"


def file_of(path: str) -> Path | None:
    """The file of the module of a user's class; None where there is none, or no module."""
    _search_here()
    try:
        spec = importlib.util.find_spec(path.rpartition(".")[0])
    except (Exception, SystemExit):  # a package around it may fail in any way
        return None
    file = Path(spec.origin) if spec is not None and spec.origin else None
    return file if file is not None and file.is_file() else None


def _search_here() -> None:
    """Modules beside params.yaml are found."""
    if "" not in sys.path:
        sys.path.insert(0, "")


def _own(family: str, path: str) -> Any:
    """A user's class; the current folder is searched too."""
    module, _, attribute = path.rpartition(".")
    _search_here()
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # the user's module may fail in any way
        reason = f"{type(error).__name__}: {error}"
        raise UserError(
            f"the {family} '{path}' cannot be imported ({reason}); it must be the dotted path of a "
            "class in an installed package or in a file beside params.yaml."
        ) from error
