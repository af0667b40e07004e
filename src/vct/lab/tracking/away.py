"""The error of a store that may work again later."""

from vct.lab.errors import UserError


class Away(UserError):
    """MLflow's store does not answer, answers with errors, or is locked by another process.

    Args:
        place: the store, without password.
        why: in a few words.
    """

    def __init__(self, place: str, why: str) -> None:
        super().__init__(
            f"MLflow at {place} is away ({why}); metrics stay on disk and are sent when it is "
            "back: vct track sync"
        )
        self.why = why
