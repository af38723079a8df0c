"""The network and block I/O parts of stats documents."""

from engine.stats_documents import linux, parse, podman


def test_network_is_the_sum_of_all_interfaces() -> None:
    """Every interface counts, not only the first."""
    names = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets", "rx_errors", "tx_errors", "rx_dropped", "tx_dropped")
    interface = dict(zip(names, range(1, 9), strict=True))
    network = parse(linux(networks={"eth0": interface, "eth1": {**interface, "extra": 1}})).network
    assert network == dict(zip(names, range(2, 18, 2), strict=True))


def test_sum_that_lacks_an_interface_is_left_out() -> None:
    """If one interface has no value for a field, the sum of that field is not known; other sums are."""
    networks = {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 3}}
    assert parse(linux(networks=networks)).network == {"rx_bytes": 4}
    assert parse(linux(networks={"eth0": {"rx_bytes": 1}, "eth1": None})).network is None
    assert parse(linux(networks={"eth0": {"rx_bytes": 2**62}, "eth1": {"rx_bytes": 2**62}})).network is None


def test_podmans_invented_interface_has_bytes_only() -> None:
    """Podman 4 invents one interface and writes zeros for its packets; without bytes it stands for no network."""
    zeros = {"rx_bytes": 0, "rx_packets": 0, "tx_bytes": 0, "tx_packets": 0}
    assert parse(podman(networks={"network": zeros})).network is None
    assert parse(podman(networks={"network": {**zeros, "rx_bytes": 5}})).network == {"rx_bytes": 5, "tx_bytes": 0}
    assert parse(podman(networks={"eth0": zeros})).network == zeros
    assert parse(linux(networks={"network": zeros})).network == zeros, "Docker's interfaces may have any name"


def test_block_io_is_the_sum_of_all_devices() -> None:
    """Operations are compared as whole words, in any case: neither Total nor Podman's rios and wios are bytes read."""
    entries = [
        {"major": 8, "op": "Read", "value": 1},
        {"major": 9, "op": "read", "value": 2},
        {"major": 8, "op": "WRITE", "value": 4},
        {"major": 8, "op": "Total", "value": 8},
        {"major": 8, "op": "rios", "value": 16},
        {"major": 8, "op": "wios", "value": 32},
        {"major": 8, "value": 64},
        None,
    ]
    found = parse(linux(blkio_stats={"io_service_bytes_recursive": entries}))
    assert found.block_io == {"read_bytes": 3, "write_bytes": 4}


def test_device_without_a_count_spoils_its_own_sum_only() -> None:
    """The sum with the invalid value is left out, wherever in the list the value is; the other sum is kept."""
    entries = [{"op": "read", "value": -1}, {"op": "read", "value": 5}, {"op": "write", "value": 7}]
    found = parse(linux(blkio_stats={"io_service_bytes_recursive": entries}))
    assert found.block_io == {"write_bytes": 7}
