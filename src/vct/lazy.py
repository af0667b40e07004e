"""Public names that are imported when they are first asked for.

torch takes seconds to import, and a package of couplings should not load networks.
"""

import importlib
from collections.abc import Callable
from typing import Any


def exports(package: dict[str, Any], modules: dict[str, str]) -> Callable[[str], Any]:
    """`__getattr__` of a package whose public names stand in other modules (PEP 562).

    Args:
        package: the package's globals; they get `__all__` and `__dir__` too.
        modules: for each module the names in it, separated by blanks.
    """
    places = {name: module for module, names in modules.items() for name in names.split()}
    package["__all__"] = sorted(places)
    package["__dir__"] = lambda: sorted({*package, *places})

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        package[name] = getattr(importlib.import_module(places[name]), name)
        return package[name]

    return find
