"""The HTTP session of an engine. The only module that imports docker."""

import importlib.util

import requests
from docker.constants import DEFAULT_NUM_POOLS_SSH
from docker.errors import DockerException
from docker.tls import TLSConfig
from docker.utils import parse_host
from requests.adapters import BaseAdapter

from agent import __version__
from agent.config import EngineSettings
from agent.engine.errors import EngineUnreachableError
from agent.engine.transport import TcpAdapter, UnixAdapter

MAX_IDLE_CONNECTIONS = 32


def new_session(settings: EngineSettings) -> tuple[requests.Session, str]:
    """Return a session for the engine at `settings.url`, and the URL in front of all paths.

    Nothing is sent yet, but over ssh:// the connection is made.

    Raises:
        EngineUnreachableError: the address or a certificate cannot be used.
        Exception: over ssh://, whatever paramiko raises.
    """
    session = requests.Session()
    session.trust_env = False  # HTTP_PROXY is not meant for an engine
    session.headers.update({"User-Agent": f"usage-agent/{__version__}", "Accept-Encoding": "identity"})
    try:
        return session, _mount(session, settings)
    except (DockerException, ValueError) as error:
        raise EngineUnreachableError(f"engine.url {settings.url}: {error}") from error


def _mount(session: requests.Session, settings: EngineSettings) -> str:
    """Mount the adapter for the engine's address. Return the URL in front of all paths.

    The constructor of docker.APIClient does the same. But it also reads ~/.docker/config.json, which is of no use here,
    and fails at contents that the docker command accepts ("auth": "", "proxies": null).
    """
    if settings.url.startswith("unix://"):
        base_url = "http+docker://localhost"
        session.mount(base_url, UnixAdapter(settings.url.removeprefix("unix://"), MAX_IDLE_CONNECTIONS))
    elif settings.url.startswith("ssh://"):
        base_url = "http+docker://ssh"
        session.mount(base_url, _ssh_adapter(settings))
    else:
        tls = _tls(settings)
        base_url = str(parse_host(settings.url, tls=tls is not None))
        session.mount(base_url, TcpAdapter(MAX_IDLE_CONNECTIONS))
        if tls:
            session.verify, session.cert = tls.ca_cert or True, tls.cert
    return base_url


def _ssh_adapter(settings: EngineSettings) -> BaseAdapter:
    if importlib.util.find_spec("paramiko") is None:
        raise EngineUnreachableError(f"{settings.url} needs an extra: pip install 'usage-agent[ssh]'")
    from docker.transport import SSHHTTPAdapter  # only there if paramiko is

    adapter = SSHHTTPAdapter(str(parse_host(settings.url)), pool_connections=DEFAULT_NUM_POOLS_SSH)
    # paramiko's own timeout for a channel is an hour.
    adapter.ssh_client.get_transport().channel_timeout = settings.timeout  # type: ignore[union-attr]
    return adapter


def _tls(settings: EngineSettings) -> TLSConfig | None:
    ca, cert, key = settings.tls_ca, settings.tls_cert, settings.tls_key
    if not (ca or cert or key):
        return None
    pair = (str(cert or ""), str(key or "")) if cert or key else None
    return TLSConfig(pair, str(ca) if ca else None, verify=True)
