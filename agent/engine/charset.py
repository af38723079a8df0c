"""Keeps `requests` from loading charset_normalizer, which the agent does not need."""

import importlib
import sys
import warnings

_DETECTOR = "charset_normalizer"


def skip_charset_detection() -> None:
    """Import `requests` without charset_normalizer, which saves 3 MB for as long as the process runs.

    That library guesses the encoding of responses that do not name theirs. Engines send UTF-8, which is what requests
    assumes without the library. Call this before anything imports requests or docker; later it has no effect.
    """
    sys.modules.setdefault(_DETECTOR, None)  # type: ignore[arg-type]  # None makes an import of it fail
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unable to find acceptable character detection")
        importlib.import_module("requests")
    if sys.modules[_DETECTOR] is None:
        del sys.modules[_DETECTOR]
