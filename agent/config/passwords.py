"""Reading the passwords that the configuration names."""

from agent.config.files import why_unreadable
from agent.config.secret import Secret, read_secret, warn_if_world_readable
from agent.config.settings import BrokerSettings, ConfigError, WebSettings


def read_password(settings: BrokerSettings) -> Secret | None:
    """Return the password of `password` or `password_file`; None if neither is set. The file is read at each call.

    A password may be part of an address instead. At most one of the three is set.

    Raises:
        ConfigError: the file cannot be used.
    """
    if settings.password_file is None:
        return settings.password
    return _read("broker.password_file", settings.password_file)


def read_web_password(settings: WebSettings) -> Secret | None:
    """Return the password of the page, or None if it has none.

    Only the page reads this file. The agent has the same configuration, but may run as a user who cannot read the file.

    Raises:
        ConfigError: the file cannot be used.
    """
    return None if settings.password_file is None else _read("web.password_file", settings.password_file)


def _read(key: str, path: str) -> Secret:
    try:
        warn_if_world_readable(path)
        return read_secret(path)
    except OSError as error:
        reason = why_unreadable(error)
    except ValueError as error:
        reason = str(error)
    raise ConfigError(f"{key}: {path} {reason}")
