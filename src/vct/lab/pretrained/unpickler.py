"""A restricted unpickler: Python's `pickletools` reads the file, this module interprets it.

Python's own unpickler never sees the file. An instruction can make plain values, and call what
`records.KNOWN` lists; a name that is not there is refused as soon as it is mentioned.
"""

import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from pickletools import genops
from typing import Any

from vct.lab.errors import UserError
from vct.lab.pretrained.records import KNOWN, Malformed, Refused, set_state, shown

NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "BINFLOAT", "FLOAT")
TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE")
BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINSTRING", "SHORT_BINSTRING", "STRING")
VALUES = frozenset((*NUMBERS, *TEXTS, *BYTES))
"""Instructions whose argument is the value."""

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
DAMAGE = (ValueError, TypeError, LookupError, ArithmeticError, struct.error, RuntimeError)
"""What an instruction that does not fit its place raises."""


class Name(str):
    """A name of `KNOWN` on the stack, to be told from text that the file holds."""


class Machine:
    """The stack machine of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: Any) -> Any:
        """The object in `content`, a file or a memory map."""
        for instruction, argument, _ in genops(content):
            name = instruction.name
            if name in VALUES:
                self.stack.append(argument)
            elif name in CONSTANTS:
                self.stack.append(CONSTANTS[name])
            elif name in EMPTY:
                self.stack.append(EMPTY[name]())
            elif name in TUPLES:
                self.stack.append(tuple(self._pop(TUPLES[name])))
            elif name in STEPS:
                STEPS[name](self, argument)
            elif name == "STOP":
                return self.stack.pop()
            elif name not in ("PROTO", "FRAME"):
                raise Refused(f"{name} {argument or ''}")
        raise Malformed("it has no end")

    def _pop(self, count: int) -> list[Any]:
        """The last `count` values."""
        if len(self.stack) < count:
            raise Malformed("a value is missing")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def _since_mark(self) -> list[Any]:
        return self._pop(len(self.stack) - self.marks.pop())

    # --- names and calls ---------------------------------------------------------------------

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._ask(f"{module}.{name}")

    def _stack_global(self, _: None) -> None:
        module, name = self._pop(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise Malformed("a name is no text")
        self._ask(f"{module}.{name}")

    def _ask(self, name: str) -> None:
        if name not in KNOWN:
            raise Refused(name)
        self.stack.append(Name(name))

    def _reduce(self, _: None) -> None:
        called, arguments = self._pop(2)
        if not isinstance(called, Name) or not isinstance(arguments, tuple):
            raise Refused("a call of something that has no name")
        self.stack.append(KNOWN[called](*arguments))

    def _build(self, _: None) -> None:
        (state,) = self._pop(1)
        set_state(self.stack[-1], state)

    # --- collections -------------------------------------------------------------------------

    def _mark(self, _: None) -> None:
        self.marks.append(len(self.stack))

    def _tuple(self, _: None) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _list(self, _: None) -> None:
        self.stack.append(self._since_mark())

    def _dict(self, _: None) -> None:
        values = self._since_mark()
        self.stack.append({})
        self._fill(values)

    def _append(self, _: None) -> None:
        self._extend(self._pop(1))

    def _appends(self, _: None) -> None:
        self._extend(self._since_mark())

    def _extend(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise Malformed("something is appended to what is no list")
        self.stack[-1].extend(values)

    def _setitem(self, _: None) -> None:
        self._fill(self._pop(2))

    def _setitems(self, _: None) -> None:
        self._fill(self._since_mark())

    def _fill(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not dict:
            raise Malformed("a key is given to what is no dict")
        keys = values[::2]
        _check_plain(keys)
        self.stack[-1].update(zip(keys, values[1::2], strict=True))

    def _additems(self, _: None) -> None:
        values = self._since_mark()
        _check_plain(values)
        if type(self.stack[-1]) is not set:
            raise Malformed("a member is given to what is no set")
        self.stack[-1].update(values)

    # --- memory ------------------------------------------------------------------------------

    def _memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])


STEPS: dict[str, Callable[[Machine, Any], None]] = {
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    "REDUCE": Machine._reduce,
    "NEWOBJ": Machine._reduce,
    "BUILD": Machine._build,
    "MARK": Machine._mark,
    "TUPLE": Machine._tuple,
    "LIST": Machine._list,
    "DICT": Machine._dict,
    "APPEND": Machine._append,
    "APPENDS": Machine._appends,
    "SETITEM": Machine._setitem,
    "SETITEMS": Machine._setitems,
    "ADDITEMS": Machine._additems,
    "MEMOIZE": Machine._memoize,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine._put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine._get),
}
"""What an instruction does with the stack; there are no others."""


def _check_plain(keys: list[Any]) -> None:
    """Keys are text or numbers; hashing anything deeper could take forever."""
    if not all(type(key) in (str, int, float, bool) for key in keys):
        raise Malformed("a key is neither text nor a number")


def read(path: Path) -> Any:
    """The records in a published checkpoint.

    Raises:
        UserError: if it cannot be read, is damaged, or asks for anything that is not in `KNOWN`.
    """
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return Machine().run(content)
    except Refused as refusal:
        raise UserError(
            f"{path} asks for {shown(refusal)}, which no EDM checkpoint needs; it was refused, "
            "and nothing was run or written."
        ) from None
    except Malformed as problem:
        raise UserError(_damaged(path, problem)) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    except DAMAGE as error:
        raise UserError(_damaged(path, error)) from None


def _damaged(path: Path, problem: Exception) -> str:
    return f"{path} is damaged or no EDM checkpoint ({shown(problem)}); download it again."
