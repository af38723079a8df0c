"""What happens to each fenced block of the documents: the test that runs or compares it, or why there is none.

A block is named by its page and its first line. A new or changed block has to be entered here.
"""

BY_TEST = {
    ("README.md", "$ mosquitto_sub -v -t 'containers/pi4/web/#'"): (
        "documents/test_subscribers.py::test_messages_of_the_readme_are_like_real_ones"
    ),
    ("README.md", "# python3 -m venv /opt/usage-agent"): (
        "documents/test_subscribers.py::test_check_prints_what_the_readme_shows"
    ),
    ("README.md", "$ usage-agent check"): "test_readme.py::test_check_prints_the_documented_mistakes",
    ("README.md", "[home_assistant]"): (
        "documents/test_subscribers.py::test_configuration_of_the_documents_is_accepted"
    ),
    ("docs/alerts.md", "alias: web was out of memory"): "home_assistant/test_document.py::test_automations_are_valid",
    ("docs/alerts.md", "alias: nas is gone"): "home_assistant/test_document.py::test_automations_are_valid",
    ("docs/alerts.md", "- alert: ContainerMemoryHigh"): (
        "documents/test_subscribers.py::test_rule_of_the_page_is_one_of_the_file"
    ),
    ("docs/alerts.md", "mosquitto_sub -R -t 'containers/+/+/status' |"): (
        "documents/test_subscribers.py::test_a_line_for_each_container_that_ends"
    ),
    ("docs/compose.md", "$ docker compose -f deploy/first-look.yaml up --detach --build"): (
        "image/test_compose.py::test_first_look_shows_every_container"
    ),
    ("docs/compose.md", "$ docker compose -f deploy/first-look.yaml down"): (
        "image/test_compose.py::test_nothing_has_to_be_set"
    ),
    ("docs/compose.md", "$ cd deploy"): "image/test_compose.py::test_agent_with_a_password_reads_the_kernel",
    ("docs/compose.md", "COMPOSE_PROFILES=proxy"): "image/test_compose.py::test_agent_behind_the_proxy_has_no_socket",
    ("docs/debian-package.md", "# scripts/package"): (
        "systemd/test_package.py::test_package_is_installed_upgraded_removed_and_purged"
    ),
    ("docs/configuration.md", "[agent]"): (
        "documents/test_subscribers.py::test_configuration_of_the_documents_is_accepted"
    ),
    ("docs/configuration.md", "USAGE_AGENT_AGENT__HOST=nas"): (
        "documents/test_subscribers.py::test_configuration_of_the_documents_is_accepted"
    ),
    ("docs/home-assistant.md", "[home_assistant]"): (
        "documents/test_subscribers.py::test_configuration_of_the_documents_is_accepted"
    ),
    ("docs/home-assistant.md", "type: entities"): "home_assistant/test_document.py::test_entities_exist",
    ("docs/home-assistant.md", "type: statistics-graph"): "home_assistant/test_document.py::test_entities_exist",
    ("docs/home-assistant.md", "alias: web has exited"): "home_assistant/test_document.py::test_automations_are_valid",
    (
        "docs/home-assistant.md",
        "alias: web is unhealthy",
    ): "home_assistant/test_document.py::test_automations_are_valid",
    (
        "docs/home-assistant.md",
        "alias: web is short of memory",
    ): "home_assistant/test_document.py::test_automations_are_valid",
    ("docs/subscribers.md", "mosquitto_sub -v -t 'containers/#'"): (
        "documents/test_subscribers.py::test_all_messages_in_a_shell"
    ),
    ("docs/subscribers.md", "mosquitto_sub -v -t 'containers/+/+/status' --retained-only -W 2 || [ $? = 27 ]"): (
        "documents/test_subscribers.py::test_statuses_as_they_are_now"
    ),
    ("docs/subscribers.md", "mosquitto_sub -t 'containers/+/+/usage' |"): (
        "documents/test_subscribers.py::test_columns_by_jq"
    ),
    ("docs/subscribers.md", "import json"): "documents/test_subscribers.py::test_ten_lines_of_python",
    (
        "docs/subscribers.md",
        "$ promtool query instant http://127.0.0.1:9090 'usage_agent_container_memory_used_bytes{container=\"web\"}'",
    ): "documents/test_prometheus.py::test_query_of_the_page",
    ("docs/web.md", "$ pip install 'usage-agent[web]'"): (
        "documents/test_subscribers.py::test_page_of_the_web_command"
    ),
    ("docs/web.md", "[Service]"): "systemd/test_web_service.py::test_service_of_the_web_page",
}
"""By block: the test, as a path below tests/."""

INSTALL = "docs/install.md"
INSTALLED = "systemd/test_install_service.py runs it in a machine of its own"

NOT_RUN = {
    ("README.md", "# scripts/run"): (
        "scripts/test is what runs the tests; end_to_end/test_first_look.py runs what scripts/run starts at its end"
    ),
    ("README.md", "# /opt/usage-agent/bin/usage-agent install-service"): INSTALLED,
    ("README.md", "# docker build -t usage-agent ."): (
        "image/test_image.py builds with another base image, as no registry is reached, and runs it with these options"
    ),
    (
        "docs/compose.md",
        "$ docker compose -f deploy/first-look.yaml exec mosquitto mosquitto_sub -v -t 'containers/#'",
    ): "the image that the tests have in place of mosquitto's contains the broker only",
    (
        "docs/compose.md",
        "$ docker buildx build --platform linux/amd64,linux/arm64 --sbom=true --provenance=mode=max \\",
    ): "needs buildx, an emulator and a registry",
    ("docs/debian-package.md", "# mkdir -p /etc/systemd/system/usage-agent.service.d"): (
        "leaves out a drop-in as systemd.unit(5) describes; nothing of it is the agent's"
    ),
    ("docs/debian-package.md", '$ docker run --rm --platform linux/arm64 -v "$PWD":/src debian:12 sh -c \\'): (
        "needs an emulator and a registry"
    ),
    (INSTALL, "# python3 -m venv /opt/usage-agent && /opt/usage-agent/bin/pip install ."): (
        "needs a package index; systemd/machine.py does the first from wheels"
    ),
    (INSTALL, "# usage-agent install-service --dry-run"): INSTALLED,
    (
        INSTALL,
        "# usage-agent check --config /etc/usage-agent/config.toml",
    ): "end_to_end/test_check.py runs the first, systemd/test_install_service.py the others",
    (INSTALL, "# usage-agent install-service --uninstall"): INSTALLED,
    (INSTALL, "$ usage-agent install-service --user"): INSTALLED,
    (INSTALL, "[agent]"): "systemd/test_install_service.py runs two instances with addresses of its own",
    (INSTALL, "# systemctl enable --now usage-agent@remote"): "systemd/test_install_service.py runs two instances",
    (INSTALL, "# python3 -m venv /opt/usage-agent"): (
        "systemd/machine.py installs the same two files in its image, and tests/systemd boots it"
    ),
    ("docs/home-assistant-migration.md", "$ usage-agent migrate-discovery --from docker2mqtt --dry-run"): (
        "home_assistant/test_migrate_command.py runs both, on a broker with the entities of docker2mqtt"
    ),
    (
        "docs/home-assistant-migration.md",
        "$ mosquitto_pub -r -n -t homeassistant/binary_sensor/docker/nas_web_health_events/config",
    ): "clears a topic of docker2mqtt, which no test of the documents has",
    ("docs/web.md", "# python3 -m venv /opt/usage-agent"): (
        "systemd/machine.py installs the same files in its image, and systemd/test_web_service.py boots it"
    ),
    ("docs/subscribers.md", "# apt-get install prometheus prometheus-mqtt-exporter"): (
        "test_prometheus.py starts the same programs with the same files, but not as services of this machine"
    ),
}
"""By block: why no test runs it as it is."""
