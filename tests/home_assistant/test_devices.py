"""Ids of devices: one for each name of a container on a host, whatever is created anew."""

from agent.home_assistant.devices import NamedContainer, container_device_ids, entity_slug, host_device_id


def ids(*names: str, host: str = "nas", taken: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return the device ids by name, of containers whose ids are made of their names."""
    containers = [NamedContainer(f"id of {name}", name, name) for name in names]
    found = container_device_ids(host, containers, taken)
    return {name: found[f"id of {name}"] for name in names}


def test_id_is_made_of_host_and_name() -> None:
    """What Home Assistant does not allow in a topic becomes an underscore."""
    assert ids("web") == {"web": "usage-agent_nas_web"}
    assert ids("web", host="nas.home") == {"web": "usage-agent_nas_home_web"}
    assert host_device_id("nas.home") == "usage-agent_nas_home"


def test_names_that_would_collide_are_told_apart() -> None:
    """The name that is safe as it stands keeps the plain id, in whatever order they come."""
    first, second = ids("a.b", "a_b"), ids("a_b", "a.b")
    assert first == second
    assert first["a_b"] == "usage-agent_nas_a_b"
    assert first["a.b"].startswith("usage-agent_nas_a_b-")


def test_containers_of_one_label_are_told_apart_by_their_own_names() -> None:
    """Two containers may be given one name by a label. Created anew, each has the id that it had."""
    containers = [NamedContainer("1", "web", "web-1"), NamedContainer("2", "web", "web-2")]
    again = [NamedContainer("3", "web", "web-2"), NamedContainer("4", "web", "web-1")]
    before, after = container_device_ids("nas", containers), container_device_ids("nas", again)
    assert before["1"] == "usage-agent_nas_web" == after["4"]
    assert before["2"] == after["3"] != before["1"]


def test_id_of_another_host_is_not_used() -> None:
    """Host `a` with a container `b_c` and host `a_b` with a container `c` would share an id."""
    taken = frozenset(ids("b_c", host="a").values())
    assert ids("c", host="a_b", taken=taken)["c"] not in taken
    assert host_device_id("a_b", {"usage-agent_a_b"}) != "usage-agent_a_b"


def test_entity_ids_are_readable() -> None:
    """Entity ids have small letters, digits and single underscores."""
    assert entity_slug("My NAS", "web.1-x", "cpu") == "my_nas_web_1_x_cpu"
    assert entity_slug("Büro") == "b_ro"
    assert len(entity_slug("nas", "x" * 300)) == 200
