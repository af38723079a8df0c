"""Addresses of brokers and engines are parsed, refused, and shown without credentials."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import Address, Secret
from agent.config.urls import is_loopback, masked, parse_broker, parse_engine, parse_listen


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("mqtt://host", Address("mqtt", "host", 1883)),
        ("MQTTS://host/", Address("mqtts", "host", 8883)),
        ("mqtt://my_broker.local:1", Address("mqtt", "my_broker.local", 1)),
        ("mqtt://[::1]:1884", Address("mqtt", "::1", 1884)),
        ("mqtt://[fe80::1%25eth0]", Address("mqtt", "fe80::1%eth0", 1883)),
        ("ws://host", Address("ws", "host", 80, "/mqtt")),
        ("wss://host/path/of@it", Address("wss", "host", 443, "/path/of@it")),
        ("unix:///run/mosquitto.sock", Address("unix", "", 0, "/run/mosquitto.sock")),
        ("embedded", Address("embedded", "127.0.0.1", 1883)),
        ("mqtt://u:p@h", Address("mqtt", "h", 1883, "", "u", Secret("p"))),
        ("mqtt://u@h", Address("mqtt", "h", 1883, "", "u")),
        ("mqtt://us%40er:p%2Fw%3A@h", Address("mqtt", "h", 1883, "", "us@er", Secret("p/w:"))),
        ("mqtt://u:p@ss:word@h", Address("mqtt", "h", 1883, "", "u", Secret("p@ss:word"))),
        ("unix://u:p@/run/m.sock", Address("unix", "", 0, "/run/m.sock", "u", Secret("p"))),
    ],
)
def test_an_address_of_a_broker_is_parsed(text: str, address: Address) -> None:
    """Ports and the websocket's path have defaults, credentials are percent-decoded."""
    assert parse_broker(text) == address


def test_only_mqtts_and_wss_are_encrypted() -> None:
    """TLS is a property of the scheme."""
    schemes = ("mqtt://h", "mqtts://h", "ws://h", "wss://h", "unix:///h", "embedded")
    assert [parse_broker(text).tls for text in schemes] == [False, True, False, True, False, False]


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("", "mqtt://, mqtts://"),
        ("host", "did you mean to start with mqtt://"),
        ("ssl://h", "did you mean mqtts://"),
        ("mqtt:host", "mqtt://, mqtts://"),
        ("mqtt://", "an address with a host"),
        ("mqtt://:1883", "an address with a host"),
        ("mqtt://h:0", "a port from 1 to 65535"),
        ("mqtt://h:65536", "a port from 1 to 65535"),
        ("mqtt://h:0000001", "a port from 1 to 65535"),
        ("mqtt://h:x", "a port from 1 to 65535"),
        ("mqtt://h:\u0661", "a port from 1 to 65535"),
        ("mqtt://::1", "[brackets]"),
        ("mqtt://[::g]", "[brackets]"),
        ("mqtt://a..b", "a host name"),
        (f"mqtt://{'a' * 64}.example.org", "a host name"),
        ("mqtt://a,b", "a host name"),
        ("mqtt://a%00b", "a host name"),
        ("mqtt://h/topic", "nothing after it"),
        ("ws://h/mqtt?token=x", "without ? and #"),
        ("mqtt://u:p/w@h", "only as %2F"),
        ("mqtt://u:p#w@h", "only as %2F"),
        ("mqtt://u:%ff@h", "percent-encoded"),
        ("mqtt://u:%00@h", "without %00"),
        ("mqtt:// h", "without spaces"),
        ("mqtt://h\n", "without spaces"),
        ("unix://run/m.sock", "unix:///path"),
        ("unix:///", "unix:///path"),
        ("unix:///a%00b", "unix:///path"),
    ],
)
def test_a_wrong_address_is_refused_with_what_is_allowed(text: str, allowed: str) -> None:
    """So is an address that no resolver or socket would accept."""
    with pytest.raises(ValueError, match=r"^allowed ") as error:
        parse_broker(text)
    assert allowed in str(error.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
        ("tcp://host", "tcp://host"),
        ("tcp://host:2375/", "tcp://host:2375"),
        ("tcp://[::1]:2375/prefix/", "tcp://[::1]:2375/prefix"),
        ("ssh://me@host", "ssh://me@host"),
        ("ssh://host:22", "ssh://host:22"),
    ],
)
def test_an_address_of_an_engine_is_normalized(text: str, shown: str) -> None:
    """It remains text, without a slash at its end."""
    assert parse_engine(text) == shown


@pytest.mark.parametrize(
    "text", ["http://h", "unix://u@/run/s", "tcp://u@h", "ssh://u:p@h", "ssh://h/path", "tcp://", "npipe:////./pipe/x"]
)
def test_an_address_of_an_engine_has_one_of_three_schemes_and_no_password(text: str) -> None:
    """Credentials that would not be used are refused rather than ignored."""
    with pytest.raises(ValueError, match=r"^allowed "):
        parse_engine(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mqtt://host:1883", "mqtt://host:1883"),
        ("ws://[::1]:80/mqtt", "ws://[::1]:80/mqtt"),
        ("mqtt://u:p@host:99999", "mqtt://********@host:99999"),
        ("mqtt://u:p/w@host", "mqtt://********@host"),
        ("u:p@host", "********@host"),
        ("mqtt://user:password", "mqtt://user:********"),
        ("ws://host/mqtt?token=x", "ws://host/mqtt"),
        ("@mqtt://u:password", "********"),
        ("mqtt://h\x1b[2J", "mqtt://h\\x1b[2J"),
    ],
)
def test_a_wrong_address_is_shown_without_possible_credentials(text: str, shown: str) -> None:
    """Text in front of an @, in the place of a port, or in a query may be a password."""
    assert masked(text) == shown


@settings(deadline=None)
@given(
    st.sampled_from(["mqtt", "mqtts", "ws", "wss"]),
    st.from_regex(r"[a-z]([a-z0-9_.-]{0,20}[a-z0-9])?", fullmatch=True).filter(lambda host: ".." not in host)
    | st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map("[{}]".format),
    st.integers(1, 65535),
)
def test_an_address_as_text_can_be_parsed_again(scheme: str, host: str, port: int) -> None:
    """The text of an address without credentials is that address, and masking does not change it."""
    address = parse_broker(f"{scheme}://{host}:{port}")
    assert parse_broker(str(address)) == address
    assert masked(str(address)) == str(address)


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("127.0.0.1:8642", ("127.0.0.1", 8642)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_an_address_to_listen_on_has_a_host_and_a_port(text: str, listen: tuple[str, int]) -> None:
    """The brackets of an IPv6 address are no part of it."""
    assert parse_listen(text) == listen


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST"])
def test_loopback_is_what_only_this_machine_reaches(host: str) -> None:
    """The name localhost is one of its addresses everywhere (RFC 6761, section 6.3)."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "127.0.0.1.example.org", "localhost.example.org"])
def test_whatever_else_is_not_loopback(host: str) -> None:
    """A name that only looks like it is none."""
    assert not is_loopback(host)
