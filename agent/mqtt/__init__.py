"""Publishing to the MQTT broker. Start reading at `publisher.py`."""
