"""The images of the agent and of the page, which the tests of this directory share."""

from pathlib import Path

import pytest
from support.daemons import debian
from support.daemons.dockerd import PrivateEngine
from support.progress import report

# A substitute for Python's official image, without a registry: it has the wheels and no compiled modules.
PYTHON = """\
FROM debian
RUN find /usr/lib/python3* -name '*.pyc' -delete
COPY wheels /wheels
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
"""


@pytest.fixture(scope="session")
def image(engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the image with its Dockerfile on the tests' Debian, and return its name."""
    report("building the agent's image")
    directory: Path = tmp_path_factory.mktemp("python")
    debian.import_debian(engine)
    debian.wheelhouse(directory / "wheels", ("web",))
    (directory / "Dockerfile").write_text(PYTHON)
    build = ("build", "--quiet", "--network=none")
    engine.docker(*build, "--tag=python", str(directory), timeout=300)
    for target, name in (("agent", "usage-agent"), ("web", "usage-agent-web")):
        wanted = ("--build-arg=PYTHON_IMAGE=python", f"--target={target}", f"--tag={name}")
        engine.docker(*build, *wanted, str(debian.PROJECT), timeout=300)
    return "usage-agent"
