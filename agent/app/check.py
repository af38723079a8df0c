"""`usage-agent check`: tries everything the agent needs and prints a line for each, with a remedy where one helps.

    ok     it works                          note   worth knowing
    warn   one part of many does not work    FAIL   the agent cannot do its work

check_containers.py tries the containers, mqtt/probe.py tries the broker.
"""

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from agent.app.check_containers import check_containers
from agent.app.host_name import container_id_warning
from agent.app.lines import print_line
from agent.collection.factory import create_source
from agent.config import Config, is_absent_credential
from agent.engine.client import EngineClient
from agent.engine.errors import EngineError
from agent.messages.topics import MessageBuilder
from agent.mqtt.probe import probe
from agent.runtime.cancel import CancelToken

ENGINE_FAILED, BROKER_FAILED = 3, 4  # exit codes; 2 is the configuration's


def check(config: Config, path: Path | None, unread: Sequence[Path] = ()) -> int:
    """Print what works and what does not, and at the end what to subscribe to.

    Args:
        config: the configuration.
        path: the file that it was read from; None if there is none.
        unread: other default files that exist but are not read, because `path` comes first.

    Returns:
        The exit code: that of the first part that does not work, or 0.
    """
    origin = path.absolute() if path else "no file, the defaults and the environment"
    print_line("ok", "configuration", f"{origin}: {config.agent.host}, every {config.agent.interval:g} s")
    if warning := container_id_warning(config.agent.host, os.environ):
        print_line("warn", "configuration", warning)
    for other in unread:
        print_line("note", "configuration", f"{other.absolute()} is not read, as {path} comes first; or use --config")
    codes = (_check_engine(config), _check_broker(config))
    topics = MessageBuilder(config.topics.base, config.agent.host, config.broker.qos).own_topics
    print_line("note", "subscribe to", f"{topics} at {' or '.join(config.broker.url)}")
    return next((code for code in codes if code), 0)


def _check_engine(config: Config) -> int:
    engine = EngineClient(config.engine)
    try:
        info = engine.connect()
        source = create_source(config.engine.source, config.agent.interval, engine)
        cgroup = f", cgroup v{info['cgroup']}" if "cgroup" in info else ""
        print_line("ok", "engine", f"{config.engine.url}: version {info['version']}, API {info['api']}{cgroup}")
        with closing(engine.events(None, CancelToken())) as events:
            next(events)
        readable = check_containers(config, engine, source)
    except EngineError as error:
        print_line("FAIL", "engine", str(error))
        return ENGINE_FAILED
    return 0 if readable else ENGINE_FAILED


def _check_broker(config: Config) -> int:
    settings = config.broker
    if settings.embedded:
        print_line("ok", "broker", "embedded: started and ended together with the agent")
        return 0
    tried = ""
    if settings.password_file and is_absent_credential(settings.password_file):
        text = f"the service's credential: not readable from here ({settings.password_file}), trying without"
        print_line("note", "broker", text)
        settings = msgspec.structs.replace(settings, password_file=None)
        tried = "; tried without the service's password: name its file with --password-file"
    lines = probe(settings, config.agent.host, config.topics.base)
    for line in lines:
        print_line(line.verdict, "broker", f"{line.text}{tried if line.verdict == 'FAIL' else ''}")
    return BROKER_FAILED if any(line.verdict == "FAIL" for line in lines) else 0
