"""TODO."""


class EngineError(Exception):
    """The engine did not give what was asked for; the message explains itself."""


class EngineUnreachableError(EngineError):
    """Refused, timed out or broken off. It says nothing about the container that was asked for."""


class EngineRefusedError(EngineError):
    """The engine answered with an HTTP error, whose code is `status`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NoSuchContainerError(EngineRefusedError):
    """The engine does not know the container."""


class InvalidResponseError(EngineError):
    """The answer cannot be understood."""
