"""The HTTP session of an engine. The only module that imports docker."""

import importlib.util

import docker
import requests
from docker.errors import DockerException
from docker.tls import TLSConfig

from agent import __version__
from agent.config import EngineSettings
from agent.engine.errors import EngineUnreachableError
from agent.engine.protocol import NEWEST_API
from agent.engine.transport import TcpAdapter, UnixAdapter

MAX_IDLE_CONNECTIONS = 32


def new_session(settings: EngineSettings) -> tuple[requests.Session, str]:
    """Return a session for the engine at `settings.url`, and the URL in front of all paths.

    Nothing is sent yet, but over ssh:// the connection is made.

    Raises:
        EngineUnreachableError: the address or a certificate cannot be used.
        Exception: over ssh://, whatever paramiko raises.
    """
    ssh = settings.url.startswith("ssh://")
    if ssh and importlib.util.find_spec("paramiko") is None:
        raise EngineUnreachableError(f"{settings.url} needs an extra: pip install 'usage-agent[ssh]'")
    try:
        # Given a version, the constructor does not ask for one: EngineClient negotiates it, at each connect anew.
        session = docker.APIClient(settings.url, f"{NEWEST_API[0]}.{NEWEST_API[1]}", tls=_tls(settings))
    except (DockerException, ValueError) as error:
        raise EngineUnreachableError(f"engine.url {settings.url}: {error}") from error
    session.trust_env = False  # HTTP_PROXY is not meant for an engine
    session.headers.update({"User-Agent": f"usage-agent/{__version__}", "Accept-Encoding": "identity"})
    if ssh:
        # paramiko's own timeout for a channel is an hour.
        session.get_adapter(session.base_url).ssh_client.get_transport().channel_timeout = settings.timeout  # type: ignore[attr-defined]
    elif settings.url.startswith("unix://"):
        session.mount(session.base_url, UnixAdapter(settings.url.removeprefix("unix://"), MAX_IDLE_CONNECTIONS))
    else:
        session.mount(session.base_url, TcpAdapter(MAX_IDLE_CONNECTIONS))
    return session, session.base_url


def _tls(settings: EngineSettings) -> TLSConfig | bool:
    ca, cert, key = settings.tls_ca, settings.tls_cert, settings.tls_key
    if not (ca or cert or key):
        return False
    pair = (str(cert or ""), str(key or "")) if cert or key else None
    return TLSConfig(pair, str(ca) if ca else None, verify=True)
