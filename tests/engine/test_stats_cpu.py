"""The time and the CPU part of stats documents, from Docker on Linux and Windows and from Podman."""

from agent.metrics.rates import compute_usage
from engine.stats_documents import cpu_reading, linux, parse, parse_cpu, podman, windows


def test_reading_has_the_engines_time_and_the_arrival() -> None:
    """`time` is the engine's to the nanosecond, `arrived` is the time that the caller gave."""
    found = parse(linux())
    assert found.time == 1_795_545_707_683_326_937
    assert found.arrived == 12.5


def test_cpu_time_is_in_nanoseconds() -> None:
    """CPU time of the container and of the host, the host's CPUs and throttling are taken as written."""
    assert parse_cpu() == cpu_reading(
        1000, kernel=400, user=600, host_total=50_000, online=4, throttled_periods=3, throttled_time=2
    )


def test_missing_fields_are_not_measured() -> None:
    """A document with only its time and its CPU time gives a reading with only these; there is at least one CPU."""
    found = parse({"read": "2026-11-24T18:41:47Z", "cpu_stats": {"cpu_usage": {"total_usage": 5}}})
    assert found.cpu == cpu_reading(5)
    assert (found.memory, found.network, found.block_io, found.pids) == (None, None, None, None)


def test_online_cpus_are_the_engines() -> None:
    """The number of CPUs is `online_cpus`, else the length of `percpu_usage`, else one."""
    usage = {"total_usage": 1, "percpu_usage": [1, 2, 3]}
    assert parse_cpu(online_cpus=2, cpu_usage=usage).online == 2
    for unusable in (None, 0, -1, "2", 2**40):
        assert parse_cpu(online_cpus=unusable, cpu_usage=usage).online == 3
    assert parse_cpu(online_cpus=0, cpu_usage={"total_usage": 1, "percpu_usage": None}).online == 1
    assert parse_cpu(online_cpus=0, cpu_usage={"total_usage": 1, "percpu_usage": []}).online == 1


def test_podmans_throttling_zeros_are_not_measured() -> None:
    """Podman writes zeros for throttling, which it does not measure."""
    zeros = {"periods": 0, "throttled_periods": 0, "throttled_time": 0}
    found = parse(podman(cpu_stats={"throttling_data": zeros})).cpu
    assert (found.throttled_periods, found.throttled_time) == (None, None)


def test_windows_cpu_time_is_converted_to_nanoseconds() -> None:
    """Windows counts in 100 ns, its processors are the CPUs; it measures neither throttling nor the host's CPU time."""
    assert parse(windows()).cpu == cpu_reading(1000, kernel=400, user=600, online=8)


def test_host_cpu_time_rules_out_windows() -> None:
    """With the host's CPU time a document is not from Windows, whatever `num_procs` is: nothing is converted."""
    assert parse(linux(num_procs=9)).cpu == parse_cpu()


def test_percent_on_windows_has_the_same_scale() -> None:
    """One of eight processors busy for a second, 10^7 units of 100 ns, is 100 percent and 12.5 of the host."""
    cpu_stats = {"cpu_usage": {"total_usage": 10 + 10_000_000}}
    second_later = windows(read="2026-11-24T18:41:48.6833269Z", cpu_stats=cpu_stats)
    measurements = compute_usage(parse(windows()), parse(second_later), None)
    assert measurements is not None
    assert measurements["cpu"]["percent"] == 100
    assert measurements["cpu"]["host_percent"] == 12.5
    assert measurements["cpu"]["measured"] == ["Percent"]
