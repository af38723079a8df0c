"""What every container uses, published to MQTT: one message per container and interval."""

import sys
import warnings

__version__ = "0.1.0"

# Below docker's client requests would load what guesses the encoding of texts that do not tell it: 3 MB for as long as
# the agent runs, and an engine speaks UTF-8. Where that is missing requests takes UTF-8, too, and warns of it.
sys.modules.setdefault("charset_normalizer", None)  # type: ignore[arg-type]
warnings.filterwarnings("ignore", "Unable to find acceptable character detection")
