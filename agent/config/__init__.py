"""The configuration: defined in `settings.py`, loaded by `loader.py` from `config.toml` and the environment."""

from agent.config.loader import DEFAULT_PATHS, find, load
from agent.config.passwords import read_password, read_web_password
from agent.config.secret import Secret, is_absent_credential
from agent.config.settings import (
    AgentSettings,
    BackoffSettings,
    BrokerSettings,
    Config,
    ConfigError,
    EngineSettings,
    HomeAssistantSettings,
    OutboxSettings,
    ShutdownSettings,
    TopicsSettings,
    WebSettings,
    default_client_id,
)
from agent.config.urls import EMBEDDED, Address

__all__ = [
    "DEFAULT_PATHS",
    "EMBEDDED",
    "Address",
    "AgentSettings",
    "BackoffSettings",
    "BrokerSettings",
    "Config",
    "ConfigError",
    "EngineSettings",
    "HomeAssistantSettings",
    "OutboxSettings",
    "Secret",
    "ShutdownSettings",
    "TopicsSettings",
    "WebSettings",
    "default_client_id",
    "find",
    "is_absent_credential",
    "load",
    "read_password",
    "read_web_password",
]
