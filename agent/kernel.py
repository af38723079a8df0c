"""What this machine's own kernel tells: the clock rate of its CPUs."""

from pathlib import Path


def core_mhz() -> float | None:
    """The clock rate of one CPU in MHz, the mean of all; None where the kernel does not tell (many virtual machines).

    The highest rate a CPU can run at, as Nomad takes it, else the rate that /proc/cpuinfo shows.
    """
    highest = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq")
    rates = [_number(path.read_text()) / 1000 for path in highest]
    if not rates:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        rates = [_number(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    rates = [rate for rate in rates if rate > 0]
    return sum(rates) / len(rates) if rates else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
