"""The one exception whose message is meant for the user."""

LONGEST = 80
EXHAUSTED = (
    "out of memory",
    "not enough memory",
    "allocate memory",
    "memory allocation",
    "alloc_failed",
    "bad_alloc",
    "failed to map segment",
    "can't start new thread",
)
"""Words of such errors, in small letters."""
LOST = 3
"""Exit code of a process that ended because another of its group did."""


class UserError(Exception):
    """Something that a user can cause and mend.

    The message is one clear sentence: what was wrong, where, and what to do. The command line
    prints it without a traceback and exits with code 2. It often repeats what stood in a file or on
    the command line, so line breaks become spaces and other control characters are spelled out:
    no file can draw on the terminal.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(map(_printable, message)))


class PeerLost(UserError):
    """Another process of the group ended; what it said is the cause."""


def out_of_memory(error: Exception) -> bool:
    """Whether memory is exhausted: torch reports it as a RuntimeError of its own, C++ as bad_alloc;
    a library may find no room when it is loaded, and a thread when it starts."""
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in EXHAUSTED)


def quoted(text: object) -> str:
    """What the user wrote, between quotes, cut to a readable length."""
    whole = str(text)
    shown = whole if len(whole) <= LONGEST else f"{whole[:LONGEST]}…"
    return f"'{shown}'"


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character in "\n\r\t" else repr(character)[1:-1]
