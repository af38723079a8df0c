"""The configuration, loaded: who wins, and what is said of every mistake."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.config import DEFAULT_PATHS, Config, ConfigError, find, load

UNKNOWN_IN_BROKER = (
    "allowed are url, username, password, password_file, client_id, protocol, keepalive, qos, "
    "tls_ca, tls_cert, tls_key, tls_insecure"
)
SCHEMES = "allowed are mqtt://, mqtts://, ws://, wss:// and unix://, or the word embedded"
NO_PASSWORD = "allowed is no password here: use a key (ssh://) or tls_cert and tls_key (tcp://)"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in a directory of its own, where there is no config.toml."""
    monkeypatch.chdir(tmp_path)


def loaded(toml: str = "", environment: Mapping[str, str] | None = None) -> Config:
    """Load a file with this text, and this environment alone."""
    Path("file.toml").write_text(toml)
    return load(Path("file.toml"), environment or {})


def mistakes(toml: str = "", environment: Mapping[str, str] | None = None) -> list[str]:
    """Return the lines of the error."""
    with pytest.raises(ConfigError) as error:
        loaded(toml, environment)
    return str(error.value).split("\n")


def test_where_nothing_is_set_the_defaults_hold() -> None:
    """An empty configuration is the defaults, with what is found out of the machine."""
    config = loaded()
    assert config.agent.host == socket.gethostname()
    assert config.broker.client_id == f"usage-agent-{config.agent.host}"
    assert config.engine.url == "unix:///var/run/docker.sock"
    assert (config.agent.interval, config.backoff.cap, config.topics.container) == (10, 120, "{name}")


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults() -> None:
    """Every value comes from the environment, else the file, else the defaults; a value overruled is not looked at."""
    config = loaded(
        "[agent]\ninterval = 20\nhost = 'file'\n[outbox]\ncapacity = 'overruled'",
        {"USAGE_AGENT_AGENT__HOST": "environment", "USAGE_AGENT_OUTBOX__CAPACITY": "5"},
    )
    assert (config.agent.interval, config.agent.host, config.outbox.capacity) == (20, "environment", 5)
    assert config.broker.client_id == "usage-agent-environment"


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("AGENT__INTERVAL", "0.5", 0.5),
        ("AGENT__INTERVAL", " 30 ", 30.0),
        ("AGENT__LOG_LEVEL", "debug", "debug"),
        ("BROKER__TLS_INSECURE", "false", False),
        ("BROKER__QOS", "0", 0),
        ("BROKER__PROTOCOL", "5", "5"),
        ("BROKER__PROTOCOL", "3.1.1", "3.1.1"),
        ("BROKER__USERNAME", "1883", "1883"),
        ("BROKER__USERNAME", "", None),
        ("ENGINE__INCLUDE", "web-*, db", ("web-*", "db")),
        ("ENGINE__INCLUDE", '["a,b", "[c]*"]', ("a,b", "[c]*")),
        ("ENGINE__EXCLUDE", "", ()),
        ("BROKER__URL", "mqtt://a,mqtt://b:1", ("mqtt://a:1883", "mqtt://b:1")),
        ("BROKER__URL", '["mqtt://a", "embedded.example.org"]', None),
    ],
)
def test_the_text_of_a_variable_is_read_by_its_keys_type(variable: str, text: str, value: object) -> None:
    """Numbers and booleans are read as TOML, strings as they are, lists as arrays or comma-separated."""
    table, key = variable.lower().split("__")
    environment = {f"USAGE_AGENT_{variable}": text}
    if value is None and text:
        assert len(mistakes("", environment)) == 1
    else:
        assert getattr(getattr(loaded("", environment), table), key) == value


def test_the_address_may_be_one_string_and_the_protocol_a_number() -> None:
    """What people write first is understood: `url = "mqtt://…"`, `protocol = 5`."""
    broker = loaded('[broker]\nurl = "mqtt://host"\nprotocol = 5').broker
    assert (broker.url, broker.protocol) == (("mqtt://host:1883",), "5")


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ("agent.interval = 0.1", "agent.interval is 0.1, allowed is a number from 0.5 to 3600"),
        ("agent.interval = nan", "agent.interval is nan, allowed is a number from 0.5 to 3600"),
        ("agent.interval = true", "agent.interval is true, allowed is a number from 0.5 to 3600"),
        ("agent.interval = '10'", 'agent.interval is "10", allowed is a number from 0.5 to 3600'),
        ("agent.interval = 1979-05-27", "agent.interval is a date or time, allowed is a number from 0.5 to 3600"),
        (f"agent.interval = 0x{'f' * 5000}", "agent.interval is a number, allowed is a number from 0.5 to 3600"),
        ("agent.host = {a = 1}", "agent.host is a table, allowed is a string of 1 to 1024 characters"),
        ('agent.host = "a\\nb"', 'agent.host is "a\\nb", allowed is text in UTF-8 without control characters'),
        ("agent = 5", "agent is a number, allowed is a table: [agent]"),
        ("engine.timeout = 0", "engine.timeout is 0, allowed is a number above 0, up to 3600"),
        ("engine.timeout = inf", "engine.timeout is inf, allowed is a number above 0, up to 3600"),
        ("engine.source = 'push'", 'engine.source is "push", allowed are auto, stream, poll and kernel'),
        (
            "engine.source = 'pol'",
            'engine.source is "pol", allowed are auto, stream, poll and kernel; did you mean poll?',
        ),
        ("engine.include = 'web'", 'engine.include is "web", allowed is an array of strings'),
        ("engine.include = ['a', 5]", "engine.include[1] is 5, allowed is a string of 1 to 1024 characters"),
        ("engine.url = 'http://h'", 'engine.url is "http://h", allowed are unix://, tcp:// and ssh://'),
        ("engine.url = 'tcp://u:pw@h'", f'engine.url is "tcp://********@h", {NO_PASSWORD}'),
        ("backoff.base = 0", "backoff.base is 0, allowed is a number above 0, up to 86400"),
        ("backoff.factor = 0.5", "backoff.factor is 0.5, allowed is a number from 1 to 1000"),
        ("backoff.cap = 1", "backoff.cap is 1.0, allowed is backoff.base (5.0) or more"),
        ("backoff.base = 500", "backoff.cap is 120.0, allowed is backoff.base (500.0) or more"),
        ("broker.keepalive = 0", "broker.keepalive is 0, allowed is a whole number from 1 to 65535"),
        ("broker.keepalive = 30.0", "broker.keepalive is 30.0, allowed is a whole number from 1 to 65535"),
        ("broker.qos = 3", "broker.qos is 3, allowed are 0, 1 and 2"),
        ("broker.qos = true", "broker.qos is true, allowed are 0, 1 and 2"),
        ("broker.protocol = '5.0'", 'broker.protocol is "5.0", allowed are auto, 5 and 3.1.1; did you mean 5?'),
        ("broker.tls_insecure = 'yes'", 'broker.tls_insecure is "yes", allowed are true and false'),
        ("broker.password = 5", "broker.password is a number, allowed is a string of 1 to 65535 bytes in UTF-8"),
        ("broker.url = []", "broker.url is an empty array, allowed is at least one address"),
        ("broker.url = 5", "broker.url is 5, allowed is an array of strings"),
        ("broker.url = 'tcp://h'", f'broker.url is "tcp://h", {SCHEMES}; did you mean mqtt://?'),
        ("broker.url = 'h:1883'", f'broker.url is "h:1883", {SCHEMES}; did you mean mqtt:// before it?'),
        ("broker.url = 'embeded'", f'broker.url is "embeded", {SCHEMES}; did you mean embedded?'),
        (
            "broker.url = ['mqtt://u:pw@h:0', 'mqtt://h']",
            'broker.url[0] is "mqtt://********@h:0", allowed is a port from 1 to 65535',
        ),
        (
            "broker.url = ['embedded', 'mqtt://h']",
            "broker.url is a list with embedded in it, allowed is embedded alone",
        ),
        ("broker.tls_cert = 'file.toml'\nbroker.url = 'mqtts://h'", "broker.tls_cert is set without broker.tls_key, "
         "allowed are both or neither"),
        ("broker.tls_key = 'file.toml'\nbroker.url = 'wss://h'", "broker.tls_key is set without broker.tls_cert, "
         "allowed are both or neither"),
        ("broker.tls_ca = 'file.toml'", "broker.tls_ca is set, but broker.url uses no TLS: "
         "use an mqtts:// or wss:// address, or remove broker.tls_ca"),
        ("broker.tls_insecure = true", "broker.tls_insecure is set, but broker.url uses no TLS: "
         "use an mqtts:// or wss:// address, or remove broker.tls_insecure"),
        ("engine.tls_ca = 'file.toml'", "engine.tls_ca is set, but engine.url uses no TLS: "
         "use a tcp:// address, or remove engine.tls_ca"),
        ("broker.tls_ca = 'none'\nbroker.url = 'mqtts://h'", 'broker.tls_ca is "none", which cannot be read '
         "(No such file or directory), allowed is a file that the agent can read"),
        ("broker.password_file = '/'", 'broker.password_file is "/", which cannot be read '
         "(Is a directory), allowed is a file with the password alone"),
        ("broker.password_file = '/dev/null'", 'broker.password_file is "/dev/null", which is empty, '
         "allowed is a file with the password alone"),
        ("broker.password = 'pw'\nbroker.password_file = 'file.toml'",
         "broker.password and broker.password_file are both set, allowed is one of them"),
        ("broker.url = 'mqtt://u:pw@h'\nbroker.password = 'x'",
         "broker.password is set and so is the password in broker.url, allowed is one of them"),
        ("broker.url = 'mqtt://u:pw@h'\nbroker.password_file = 'file.toml'",
         "broker.password_file is set and so is the password in broker.url, allowed is one of them"),
        ("broker.url = 'mqtt://u@h'\nbroker.username = 'x'",
         "broker.username is set and so is the username in broker.url, allowed is one of them"),
        ("topics.base = ''", 'topics.base is "", allowed is a string of 1 to 1024 characters'),
        ("topics.base = '$SYS'", 'topics.base is "$SYS", allowed is no $ at the start'),
        ("topics.base = 'a/+'", 'topics.base is "a/+", allowed are no + and no #'),
        ("topics.base = 'a//b'",
         'topics.base is "a//b", allowed is no / at the start, at the end, or behind another /'),
        ("topics.container = '/{id}'",
         'topics.container is "/{id}", allowed is no / at the start, at the end, or behind another /'),
        ("topics.container = '{nme}'", 'topics.container is "{nme}", allowed are {name}, {id}, {short_id}, {project} '
         "and {service}; did you mean {name}?"),
        ("topics.container = '{name'", 'topics.container is "{name", allowed are { and } only around a placeholder'),
        ("topics.container = '{name}#'", 'topics.container is "{name}#", allowed are no + and no #'),
        ("topics.forget_removed = -1", "topics.forget_removed is -1, allowed is a number from 0 to 315360000"),
        ("outbox.capacity = 0", "outbox.capacity is 0, allowed is a whole number from 1 to 10000000"),
        ("outbox.on_full = 'drop_newer'", 'outbox.on_full is "drop_newer", allowed are drop_newest and drop_oldest; '
         "did you mean drop_newest?"),
        ("shutdown.timeout = -1", "shutdown.timeout is -1, allowed is a number from 0 to 3600"),
        ("agnet.host = 'a'", "agnet is unknown, allowed are the tables agent, engine, backoff, broker, topics, outbox, "
         "shutdown; did you mean agent?"),
        ("password = 'secret'", "password is unknown, allowed are the tables agent, engine, backoff, broker, topics, "
         "outbox, shutdown; did you mean broker.password?"),
        ("broker.pasword = 'secret'", f"broker.pasword is unknown, {UNKNOWN_IN_BROKER}; did you mean broker.password?"),
        ("broker.capacity = 1", f"broker.capacity is unknown, {UNKNOWN_IN_BROKER}; did you mean outbox.capacity?"),
        ('broker."a\\u001b.b" = 1', f'broker."a\\x1b.b" is unknown, {UNKNOWN_IN_BROKER}'),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_place_key_what_was_found_and_what_is_allowed(toml: str, line: str) -> None:
    """One mistake is one line, word for word; a secret is not in it, a typo's key is."""
    assert mistakes(toml) == [f"file.toml: {line}"]


@pytest.mark.parametrize(
    ("variable", "text", "line"),
    [
        ("AGENT__INTERVAL", "10s", 'agent.interval is "10s", allowed is a number from 0.5 to 3600'),
        ("AGENT__INTERVAL", "", 'agent.interval is "", allowed is a number from 0.5 to 3600'),
        ("AGENT__INTERVAL", "10\nx = 1", 'agent.interval is "10\\nx = 1", allowed is a number from 0.5 to 3600'),
        ("BROKER__TLS_INSECURE", "yes", 'broker.tls_insecure is "yes", allowed are true and false'),
        ("BROKER__URL", "['mqtt://u:pw@h'", "broker.url is a broken array, allowed is an array as in TOML, "
         "or a comma-separated list"),
        ("AGENT__HOST", "\udcff", 'agent.host is "\\udcff", allowed is text in UTF-8 without control characters'),
        ("BROKER__PASSWORD", "pw\udcff",
         "broker.password is a string, allowed is a string of 1 to 65535 bytes in UTF-8"),
        ("BROKER_URL", "mqtt://u:pw@h", "is unknown, allowed is USAGE_AGENT_<TABLE>__<KEY>; "
         "did you mean USAGE_AGENT_BROKER__URL?"),
        ("ZZZ", "pw", "is unknown, allowed is USAGE_AGENT_<TABLE>__<KEY>"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_environment_names_the_variable(variable: str, text: str, line: str) -> None:
    """The place of a mistake is the variable's name."""
    assert mistakes("", {f"USAGE_AGENT_{variable}": text}) == [f"USAGE_AGENT_{variable}: {line}"]


def test_all_mistakes_are_told_at_once() -> None:
    """Nobody has to mend one mistake to be told the next: file, environment and contradictions come together."""
    broker = "[broker]\nurl = ['a', 'b']\ntls_key = 'file.toml'"
    toml = f"agnt.x = 1\nbackoff.cap = 1\n[agent]\ninterval = 0\nhots = ''\n{broker}"
    told = mistakes(toml, {"USAGE_AGENT_QOS": "1", "USAGE_AGENT_OUTBOX__CAPACITY": "no"})
    assert [line.split(",")[0] for line in told] == [
        "file.toml: agnt is unknown",
        "file.toml: agent.interval is 0",
        "file.toml: agent.hots is unknown",
        'file.toml: broker.url[0] is "a"',
        'file.toml: broker.url[1] is "b"',
        'USAGE_AGENT_OUTBOX__CAPACITY: outbox.capacity is "no"',
        "USAGE_AGENT_QOS: is unknown",
        "file.toml: backoff.cap is 1.0",
        "file.toml: broker.tls_key is set without broker.tls_cert",
    ]


def test_variables_that_docker_and_kubernetes_put_there_are_left_alone() -> None:
    """A neighbour called "usage-agent" gives a container variables of that name: they are not ours."""
    names = ("SERVICE_HOST", "SERVICE_PORT", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR", "NAME")
    assert loaded("", {f"USAGE_AGENT_{name}": "tcp://10.0.0.1:80" for name in names}) == loaded()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"[agent]\nhost = \n", "line 2, column 8: is not TOML: Invalid value"),
        (b"[agent", "line 1, column 7: is not TOML: Expected ']' at the end of a table declaration"),
        (b"[agent]\nhost = '\xe4'", "line 2, column 9: is not UTF-8, allowed is text in UTF-8"),
        (b"a = " + b"[" * 100_000, "is nested too deep, allowed are tables of keys"),
        (b"a = " + b"9" * 5000, "is not TOML: a value cannot be read"),
        (b"#" * 2_000_000, "is longer than 1048576 bytes, allowed is a configuration in TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_told_with_line_and_column(content: bytes, line: str) -> None:
    """A syntax error names file, line and column; what else is wrong, in the environment, is told too."""
    Path("file.toml").write_bytes(content)
    with pytest.raises(ConfigError) as error:
        load(Path("file.toml"), {"USAGE_AGENT_BROKER__QOS": "9"})
    assert str(error.value).split("\n") == [
        f"file.toml: {line}",
        "USAGE_AGENT_BROKER__QOS: broker.qos is 9, allowed are 0, 1 and 2",
    ]


@pytest.mark.parametrize(
    ("path", "reason"),
    [("none.toml", "No such file or directory"), ("/", "Is a directory"), ("\0", "not a path")],
)
def test_a_file_that_cannot_be_read_is_a_mistake(path: str, reason: str) -> None:
    """A file that was asked for must be there and be readable."""
    with pytest.raises(ConfigError, match=rf"cannot be read \({reason}\), allowed is a readable file in TOML$"):
        load(Path(path), {})


def test_a_file_with_a_byte_order_mark_is_read() -> None:
    """An editor on Windows puts one there."""
    Path("file.toml").write_bytes(b"\xef\xbb\xbf[agent]\nhost = 'h'")
    assert load(Path("file.toml"), {}).agent.host == "h"


def test_the_file_is_looked_for_here_and_then_in_etc() -> None:
    """Without --config: ./config.toml, then /etc/usage-agent/config.toml, else none; a dangling link is not skipped."""
    assert tuple(map(str, DEFAULT_PATHS)) == ("config.toml", "/etc/usage-agent/config.toml")
    first, second = Path("first.toml"), Path("second.toml")
    assert find((first, second)) is None
    second.touch()
    assert find((first, second)) == second
    first.symlink_to("nowhere")
    assert find((first, second)) == first
    Path("config.toml").write_text("agent.host = 'here'")
    assert load(None, {}).agent.host == "here"


def test_docker_host_is_the_default_of_the_engines_address(tmp_path: Path) -> None:
    """$DOCKER_HOST counts where engine.url is not set, with the certificates that the docker command would take."""
    assert loaded("", {"DOCKER_HOST": "ssh://me@host"}).engine.url == "ssh://me@host"
    assert loaded("", {"DOCKER_HOST": ""}).engine.url == "unix:///var/run/docker.sock"
    assert loaded("", {"DOCKER_HOST": "tcp://host"}).engine.url == "tcp://host:2375"
    assert loaded("engine.url = 'tcp://[::1]'", {"DOCKER_HOST": "rubbish"}).engine.url == "tcp://[::1]:2375"
    for name in ("ca", "cert", "key"):
        (tmp_path / f"{name}.pem").touch()
    tls = {"DOCKER_HOST": "tcp://host", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    engine = loaded("", tls).engine
    assert (engine.url, engine.tls_ca) == ("tcp://host:2376", str(tmp_path / "ca.pem"))
    assert (engine.tls_cert, engine.tls_key) == (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    assert loaded("engine.url = 'tcp://other'", tls).engine.tls_ca is None
    assert mistakes("", tls | {"DOCKER_CERT_PATH": "/none"}) == [
        'DOCKER_TLS_VERIFY: engine.tls_ca is "/none/ca.pem", which cannot be read (No such file or directory), '
        "allowed is a file that the agent can read"
    ]
    assert mistakes("", {"DOCKER_HOST": "npipe://x"})[0].startswith('DOCKER_HOST: engine.url is "npipe://x", allowed')


def test_loading_needs_neither_docker_nor_paho() -> None:
    """Configuration is checked before anything is touched, and before anything big is imported."""
    code = "import sys, agent.config; print(*sorted({'docker', 'paho', 'tenacity', 'orjson'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""
