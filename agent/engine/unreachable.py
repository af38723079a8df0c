"""Error texts for an engine that cannot be reached: the cause, and what the user can do about it."""

from pathlib import Path

import requests
import urllib3

from agent.engine.errors import EngineUnreachableError, ReplacedSocketError

MAX_CAUSES = 8  # exceptions of urllib3 and requests that wrap each other; a chain may have a circle

_TIMEOUT_ERRORS = (TimeoutError, requests.Timeout, urllib3.exceptions.ReadTimeoutError)
_NO_SOCKET = (
    "there is no socket: is Docker installed, and does it run? "
    "Rootless Docker has unix://$XDG_RUNTIME_DIR/docker.sock, Podman unix:///run/podman/podman.sock (engine.url); "
    "in a container the socket's directory has to be mounted"
)
_NOT_PERMITTED = (
    "permission denied: root may open the socket, and its group, mostly docker; "
    "under systemd: SupplementaryGroups=docker; "
    "in a container: --group-add with the number of that group, and with SELinux --security-opt label=disable"
)
# If this lasts, `EngineWatcher` ends the agent.
_REPLACED = (
    "nobody listens on this socket, and it is mounted: an engine that starts anew makes another socket, and the mount "
    "stays with the old one. Restart the agent's container, and better mount the socket's directory"
)


def unreachable_error(url: str, timeout: float, error: Exception) -> EngineUnreachableError:
    """Return the error to raise for an error of the connection, with the cause and the remedy.

    Args:
        url: the engine's address.
        timeout: the seconds after which a call fails.
        error: what requests, urllib3, http.client, paramiko or the system has raised.
    """
    engine = f"the engine at {url}"
    if isinstance(error, _TIMEOUT_ERRORS):
        return EngineUnreachableError(f"{engine} did not answer within {timeout:g} s")
    root = _root_cause(error)
    socket = url.removeprefix("unix://") if url.startswith("unix://") else None
    if isinstance(root, ConnectionRefusedError) and socket and is_mount_point(socket):
        return ReplacedSocketError(f"{engine} cannot be reached: {_REPLACED}")
    if isinstance(root, FileNotFoundError) and socket:
        return EngineUnreachableError(f"{engine} cannot be reached: {_NO_SOCKET}")
    if isinstance(root, PermissionError) and socket:
        return EngineUnreachableError(f"{engine} cannot be reached: {_NOT_PERMITTED}")
    return EngineUnreachableError(f"{engine} cannot be reached: {_explain(error, root)}")


def _explain(error: Exception, root: BaseException) -> str:
    text = (root.strerror if isinstance(root, OSError) else None) or str(root) or type(root).__name__
    if isinstance(root, ConnectionRefusedError):
        return f"{text}: is the engine running there?"
    if isinstance(error, requests.exceptions.SSLError):
        return f"{text}: do engine.tls_ca, tls_cert and tls_key fit it?"
    return text


def is_mount_point(path: str, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Return whether this path itself is a mount point, and not only a directory above it (proc(5))."""
    try:
        points = {line.split(" ")[4] for line in mounts.read_text(errors="surrogateescape").splitlines()}
        real = str(Path(path).resolve())
    except (OSError, ValueError, IndexError, RuntimeError):
        return False
    return real.replace("\\", r"\134").replace(" ", r"\040").replace("\t", r"\011").replace("\n", r"\012") in points


def _root_cause(error: BaseException) -> BaseException:
    """Return the innermost error below the wrappers of urllib3 and requests: its text is meant for people."""
    for _ in range(MAX_CAUSES):
        candidates = (*error.args, getattr(error, "reason", None), error.__cause__)
        inner = next((candidate for candidate in candidates if isinstance(candidate, BaseException)), None)
        if inner is None:
            break
        error = inner
    return error
