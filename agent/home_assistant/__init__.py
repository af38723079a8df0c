"""Home Assistant: how its MQTT integration discovers the containers and the host as devices with entities."""
