# The agent as an image. Build and run it:
#
#     docker build -t usage-agent .
#     docker run -d --name usage-agent --restart unless-stopped --read-only --cap-drop ALL \
#         --hostname "$(hostname)" \
#         -v /run:/host/run:ro,rslave -e DOCKER_HOST=unix:///host/run/docker.sock \
#         --group-add "$(stat -c %g /run/docker.sock)" \
#         -v /proc:/host/proc:ro -v /sys/fs/cgroup:/host/sys/fs/cgroup:ro --cgroupns=host \
#         -e USAGE_AGENT_BROKER__URL=mqtt://broker.example \
#         usage-agent
#
# The mounts of /proc and /sys/fs/cgroup are optional: with them the agent reads the kernel's files instead of asking the
# engine. The agent is not root; the group gives it access to the engine's socket. The socket's directory is mounted,
# because a mount of the socket itself would stay with the old one when Docker is restarted. The host name becomes a
# level of the topics. With SELinux add --security-opt label=disable.
# Mount a configuration at /etc/usage-agent/config.toml, and a password as a secret that broker.password_file names.
#
# The page of all hosts (usage-agent web) is the target web:
#
#     docker build --target web -t usage-agent-web .
#     docker run -d --name usage-agent-web --restart unless-stopped --read-only --cap-drop ALL -p 127.0.0.1:8642:8642 \
#         -e USAGE_AGENT_BROKER__URL=mqtt://broker.example -e USAGE_AGENT_WEB__ANONYMOUS=true usage-agent-web

ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
# For example EXTRAS=web,embedded,ssh. The target web needs web.
ARG EXTRAS=web
WORKDIR /src
COPY requirements requirements
# Versions and hashes come from the lock. pip itself is not copied to the image. It compiles what it installs, because
# the agent cannot write compiled modules later.
RUN python3 -m venv /build \
    && python3 -m venv --without-pip /opt/usage-agent \
    && /build/bin/pip install --no-cache-dir --require-hashes --requirement requirements/build.txt \
    && for name in agent $(echo "$EXTRAS" | tr , " "); do set -- "$@" --requirement "requirements/$name.txt"; done \
    && /build/bin/pip --python /opt/usage-agent/bin/python install --no-cache-dir --require-hashes "$@"
COPY pyproject.toml README.md LICENSE config.toml ./
COPY systemd systemd
COPY agent agent
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /build/wheel . \
    && /build/bin/pip --python /opt/usage-agent/bin/python install --no-cache-dir --no-deps /build/wheel/*.whl
# Python's official images contain no compiled modules of the standard library, and every health check would compile
# its imports again: import them once, while compiled modules can still be written.
RUN /opt/usage-agent/bin/python -c "import agent.cli, agent.app.service, urllib.request" \
    && { ! echo "$EXTRAS" | grep -qw web || /opt/usage-agent/bin/python -c "import agent.fleet.web.command"; }
COPY deploy/image-root /build/
RUN /build/image-root /image /opt/usage-agent

# What both targets have in common: a third of the size of Python's image.
FROM scratch AS program
COPY --from=build /image /
COPY --from=build /opt/usage-agent /opt/usage-agent
# The heartbeat file is in /dev/shm, the only directory that is writable even with --read-only.
ENV PATH=/opt/usage-agent/bin:/usr/local/bin:/usr/bin LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 TMPDIR=/dev/shm
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["usage-agent"]

FROM program AS web
LABEL org.opencontainers.image.title="usage-agent-web" \
      org.opencontainers.image.description="A live page of the resource usage of every container, from MQTT" \
      org.opencontainers.image.licenses="MPL-2.0"
# Without web.password_file or web.anonymous the page is not served: it says so, and ends.
ENV USAGE_AGENT_WEB__LISTEN=0.0.0.0:8642
EXPOSE 8642
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8642/healthz', timeout=5)"]
CMD ["web"]

FROM program AS agent
LABEL org.opencontainers.image.title="usage-agent" \
      org.opencontainers.image.description="Publishes the resource usage of every container to MQTT" \
      org.opencontainers.image.licenses="MPL-2.0"
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["usage-agent", "health"]
CMD ["run"]
