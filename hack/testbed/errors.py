"""What the test bed says when it cannot go on."""


class BedError(Exception):
    """A failure that a person can act on: what happened and, where there is one, the fix."""

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(f"{message}\n  fix: {fix}" if fix else message)
