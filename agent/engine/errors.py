"""Errors of the engine, divided by what a caller can do about them."""


class EngineError(Exception):
    """The engine did not give what was requested. The message explains itself."""


class EngineUnreachableError(EngineError):
    """The connection was refused, timed out or broke. This says nothing about the container that was asked for."""


class ReplacedSocketError(EngineUnreachableError):
    """The engine's socket is a mount and refuses connections: the engine may have made a new socket since.

    A mount keeps the socket that was there when it was mounted. An engine that is restarted makes another socket.
    If this lasts, `EngineWatcher` ends the agent.
    """


class EngineRefusedError(EngineError):
    """The engine responded with an HTTP status other than 200; it is `status`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NoSuchContainerError(EngineRefusedError):
    """The engine does not know the container."""


class InvalidResponseError(EngineError):
    """The response is not what the Engine API describes."""
