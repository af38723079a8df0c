"""Fuzz one target: `python -m fuzz TARGET SECONDS [DIRECTORY]`. A case that fails is left in DIRECTORY (default: here).

Of what is loaded only the agent is instrumented: the fuzzer looks for new ways through our code, not through msgspec's.
"""

import logging
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # has no types of its own

with atheris.instrument_imports(include=["agent"]):
    from fuzz.structure import mutate, seeds
    from fuzz.targets import TARGETS

LONGEST = 20_000  # bytes of an input; the recorded documents have up to 6 000
HANGS = 20  # seconds after which one input counts as a failure


def main(target: str, seconds: int, directory: str = ".") -> None:
    """Fuzz; ends the process."""
    logging.getLogger("agent").setLevel(logging.CRITICAL)  # of rubbish it warns, as it should
    begin = Path(tempfile.mkdtemp(prefix="ua-fuzz-"))
    for seed in seeds(target):
        (begin / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        f"-timeout={HANGS}",
        f"-artifact_prefix={Path(directory).resolve()}/{target}-",
        "-rss_limit_mb=2000",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(begin)], TARGETS[target], custom_mutator=mutate)
    atheris.Fuzz()


main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
