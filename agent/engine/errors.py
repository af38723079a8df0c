"""TODO."""


class EngineError(Exception):
    """The engine did not give what was asked for; the message explains itself."""


class EngineUnreachable(EngineError):
    """Refused, timed out or broken off. It says nothing about the container that was asked for."""


class EngineRefused(EngineError):
    """The engine answered with an HTTP error, whose code is `status`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NoSuchContainer(EngineRefused):
    """The engine does not know the container."""


class EngineRubbish(EngineError):
    """The answer cannot be understood."""
