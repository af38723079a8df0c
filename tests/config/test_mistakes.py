"""What the error says of every mistake: place, key, what was found, what is allowed, and what may have been meant."""

import pytest

from config.harness import mistakes

UNKNOWN_IN_BROKER = (
    "allowed are url, username, password, password_file, client_id, protocol, keepalive, qos, "
    "tls_ca, tls_cert, tls_key, tls_insecure"
)
SCHEMES = "allowed are mqtt://, mqtts://, ws://, wss:// and unix://, or the word embedded"
NO_PASSWORD = "allowed is an address without a password: use a key (ssh://) or tls_cert and tls_key (tcp://)"

LISTEN = "allowed is an address and a port, such as 127.0.0.1:8642 or [::1]:8642"
UNPROTECTED = (
    "which other machines may reach: set web.password_file, or web.anonymous = true if everybody there may see the page"
)


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
        ("broker.url = 'h:1883'", f'broker.url is "h:1883", {SCHEMES}; did you mean to start with mqtt://?'),
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
        ("broker.tls_ca = 'none'\nbroker.url = 'mqtts://h'", 'broker.tls_ca is "none", which cannot be read: '
         "No such file or directory"),
        ("broker.username = 'u'\nbroker.password_file = '/'", 'broker.password_file is "/", which cannot be read: '
         "Is a directory"),
        ("broker.username = 'u'\nbroker.password_file = '/dev/null'",
         'broker.password_file is "/dev/null", which is empty, '
         "allowed is a file with the password alone"),
        ("broker.username = 'u'\nbroker.password = 'pw'\nbroker.password_file = 'file.toml'",
         "broker.password and broker.password_file are both set, allowed is one of them"),
        ("broker.url = 'mqtt://u:pw@h'\nbroker.password = 'x'",
         "broker.password is set and so is the password in broker.url, allowed is one of them"),
        ("broker.url = 'mqtt://u:pw@h'\nbroker.password_file = 'file.toml'",
         "broker.password_file is set and so is the password in broker.url, allowed is one of them"),
        ("broker.url = 'mqtt://u@h'\nbroker.username = 'x'",
         "broker.username is set and so is the username in broker.url, allowed is one of them"),
        ("broker.password = 'pw'", "broker.password is set without broker.username, allowed are both or neither"),
        ("broker.password_file = 'file.toml'",
         "broker.password_file is set without broker.username, allowed are both or neither"),
        ("broker.url = ['mqtt://:pw@h']", "broker.url has a password without a user name, allowed are both or neither"),
        ("topics.base = ''", 'topics.base is "", allowed is a string of 1 to 1024 characters'),
        ("topics.base = '$SYS'", 'topics.base is "$SYS", allowed is text without a $ at the start'),
        ("topics.base = 'a/+'", 'topics.base is "a/+", allowed is text without + and #'),
        ("topics.base = 'a//b'",
         'topics.base is "a//b", allowed is text without a / at the start, at the end, or after another /'),
        ("topics.container = '/{id}'",
         'topics.container is "/{id}", allowed is text without a / at the start, at the end, or after another /'),
        ("topics.container = '{nme}'", 'topics.container is "{nme}", allowed are {name}, {id}, {short_id}, {project} '
         "and {service}; did you mean {name}?"),
        ("topics.container = '{name'", 'topics.container is "{name", allowed are { and } only around a placeholder'),
        ("topics.container = '{name}#'", 'topics.container is "{name}#", allowed is text without + and #'),
        ("topics.forget_removed = -1", "topics.forget_removed is -1, allowed is a number from 0 to 315360000"),
        ("outbox.capacity = 0", "outbox.capacity is 0, allowed is a whole number from 1 to 10000000"),
        ("outbox.on_full = 'drop_newer'", 'outbox.on_full is "drop_newer", allowed are drop_newest and drop_oldest; '
         "did you mean drop_newest?"),
        ("shutdown.timeout = -1", "shutdown.timeout is -1, allowed is a number from 0 to 3600"),
        ("web.listen = '8642'", f'web.listen is "8642", {LISTEN}'),
        ("web.listen = ':8642'", f'web.listen is ":8642", {LISTEN}'),
        ("web.listen = 'localhost'", f'web.listen is "localhost", {LISTEN}'),
        ("web.listen = '127.0.0.1:65536'", f'web.listen is "127.0.0.1:65536", {LISTEN}'),
        ("web.listen = '0.0.0.0:80'", f'web.listen is "0.0.0.0:80", {UNPROTECTED}'),
        ("web.listen = '[::]:80'", f'web.listen is "[::]:80", {UNPROTECTED}'),
        ("web.listen = 'server:80'", f'web.listen is "server:80", {UNPROTECTED}'),
        ("web.listen = '127.0.0.1.example.org:80'", f'web.listen is "127.0.0.1.example.org:80", {UNPROTECTED}'),
        ("web.password_file = 'f'\nweb.anonymous = true",
         "web.password_file is set and web.anonymous is true, allowed is one of them"),
        ("web.history = 59", "web.history is 59, allowed is a number from 60 to 86400"),
        ("agnet.host = 'a'", "agnet is unknown, allowed are the tables agent, engine, backoff, broker, topics, outbox, "
         "shutdown, home_assistant, web; did you mean agent?"),
        ("password = 'secret'", "password is unknown, allowed are the tables agent, engine, backoff, broker, topics, "
         "outbox, shutdown, home_assistant, web; did you mean broker.password?"),
        ("broker.pasword = 'secret'", f"broker.pasword is unknown, {UNKNOWN_IN_BROKER}; did you mean broker.password?"),
        ("broker.capacity = 1", f"broker.capacity is unknown, {UNKNOWN_IN_BROKER}; did you mean outbox.capacity?"),
        ('broker."a\\u001b.b" = 1', f'broker."a\\x1b.b" is unknown, {UNKNOWN_IN_BROKER}'),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_place_key_what_was_found_and_what_is_allowed(toml: str, line: str) -> None:
    """A mistake is one line. It suggests the key that was meant, and contains no secret."""
    assert mistakes(toml) == [f"file.toml: {line}"]


@pytest.mark.parametrize(
    ("variable", "text", "line"),
    [
        ("AGENT__INTERVAL", "10s", 'agent.interval is "10s", allowed is a number from 0.5 to 3600'),
        ("AGENT__INTERVAL", '"10"', "agent.interval is in quotation marks, allowed is the value without them"),
        ("ENGINE__INCLUDE", '"web-*"', "engine.include is in quotation marks, allowed is the value without them"),
        ("ENGINE__INCLUDE", "'web-*',db", "engine.include has quotation marks around an element, "
         "allowed is an array as in TOML, or a comma-separated list without quotation marks"),
        ("ENGINE__INCLUDE", ",", "engine.include has no element, "
         "allowed is an array as in TOML, or a comma-separated list without quotation marks"),
        ("BROKER__PASSWORD", "'pw'",
         "broker.password is in quotation marks: remove them, or use broker.password_file if they belong to it"),
        ("BROKER__PASSWORD", "pw\r", "broker.password has a line break or another control character in it: "
         "remove it, or use broker.password_file if it belongs to it"),
        ("AGENT__INTERVAL", "10\nx = 1", 'agent.interval is "10\\nx = 1", allowed is a number from 0.5 to 3600'),
        ("BROKER__TLS_INSECURE", "yes", 'broker.tls_insecure is "yes", allowed are true and false'),
        ("BROKER__URL", "['mqtt://u:pw@h'", "broker.url is a broken array, allowed is an array as in TOML, "
         "or a comma-separated list"),
        ("AGENT__HOST", "\udcff", 'agent.host is "\\udcff", allowed is text in UTF-8 without control characters'),
        ("BROKER__PASSWORD", "pw\udcff",
         "broker.password is a string, allowed is a string of 1 to 65535 bytes in UTF-8"),
        ("BROKER_URL", "mqtt://u:pw@h", "is unknown, allowed is USAGE_AGENT_<TABLE>__<KEY>; "
         "did you mean USAGE_AGENT_BROKER__URL?"),
        ("BROKER_PORT", "1883", "is unknown, allowed is USAGE_AGENT_<TABLE>__<KEY>; "
         "did you mean USAGE_AGENT_BROKER__PROTOCOL?"),
        ("ZZZ", "pw", "is unknown, allowed is USAGE_AGENT_<TABLE>__<KEY>"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_environment_is_reported_with_the_variable(variable: str, text: str, line: str) -> None:
    """Its place is the name of the variable."""
    assert mistakes("", {f"USAGE_AGENT_{variable}": text}) == [f"USAGE_AGENT_{variable}: {line}"]


def test_all_mistakes_are_reported_at_once() -> None:
    """Those of the file, of the environment, and of keys that contradict each other."""
    broker = "[broker]\nurl = ['a', 'b']\ntls_key = 'file.toml'"
    toml = f"agnt.x = 1\nbackoff.cap = 1\n[agent]\ninterval = 0\nhots = ''\n{broker}"
    lines = mistakes(toml, {"USAGE_AGENT_QOS": "1", "USAGE_AGENT_OUTBOX__CAPACITY": "no"})
    assert [line.split(",")[0] for line in lines] == [
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
