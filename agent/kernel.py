"""What this machine's own kernel tells: the clock rate of its CPUs."""

from pathlib import Path


def core_mhz() -> float | None:
    """The clock rate of one CPU in MHz, the mean of all; None where the kernel does not tell (many virtual machines).

    The highest rate a CPU can run at, as Nomad takes it, else the rate that /proc/cpuinfo shows.
    """
    highest = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq")
    rates = [_number(_read(path)) / 1000 for path in highest]
    if not any(rates):
        lines = _read(Path("/proc/cpuinfo")).splitlines()
        rates = [_number(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    known = [rate for rate in rates if rate > 0]
    return sum(known) / len(known) if known else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # hidden from us: a sandbox shows hardly anything of /proc
        return ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
