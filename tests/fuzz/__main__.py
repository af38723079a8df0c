"""Fuzz one target: `python -m fuzz TARGET SECONDS [DIRECTORY]`; failing inputs go to DIRECTORY (default: here).

Only the agent is instrumented: the fuzzer searches new paths through the agent's code, not through its libraries.
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

MAX_INPUT_BYTES = 20_000  # the recorded documents have up to 6 000
MAX_INPUT_SECONDS = 20  # a longer run of one input is a failure


def main(target: str, seconds: int, directory: str = ".") -> None:
    """Fuzz a target; ends the process."""
    logging.getLogger("agent").setLevel(logging.CRITICAL)  # warnings about invalid input are expected
    corpus = Path(tempfile.mkdtemp(prefix="ua-fuzz-"))
    for seed in seeds(target):
        (corpus / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-timeout={MAX_INPUT_SECONDS}",
        f"-artifact_prefix={Path(directory).resolve()}/{target}-",
        "-rss_limit_mb=2000",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], TARGETS[target], custom_mutator=mutate)
    atheris.Fuzz()


main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
