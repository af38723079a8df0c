"""`python -m agent` is `usage-agent`."""

import sys

from agent.cli import main

sys.exit(main())
