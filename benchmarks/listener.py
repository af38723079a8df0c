"""A subscriber in a process of its own, which notes when each usage arrives.

    python -m benchmarks.listener PORT FILE

Until SIGTERM; then it writes a line for each usage: topic, arrival and the reading's time (ns since the epoch).
"""

import signal
import sys
import time
from pathlib import Path
from types import FrameType

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.lateness import Arrival

FILTER = "containers/+/+/usage"
BEGINNING = 500  # bytes of a payload, within which its timestamp stands
KEY = b'"timestamp":'


def main(port: int, path: Path) -> None:
    """Listen, then write."""
    heard: list[tuple[int, str, bytes]] = []

    def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        heard.append((time.time_ns(), message.topic, bytes(message.payload[:BEGINNING])))

    def end(_number: int, _frame: FrameType | None) -> None:
        client.disconnect()

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: client.subscribe(FILTER, 0)
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    signal.signal(signal.SIGTERM, end)
    client.loop_forever()
    path.write_text("".join(f"{topic} {arrived} {timestamp(payload)}\n" for arrived, topic, payload in heard))


def timestamp(payload: bytes) -> int:
    """Return the reading's time from a usage's beginning."""
    _, _, rest = payload.partition(KEY)
    return int(rest.partition(b",")[0])


def read(path: Path) -> list[Arrival]:
    """Return what a listener has written."""
    lines = (line.split(" ") for line in path.read_text().splitlines())
    return [Arrival(topic, int(arrived), int(stamp)) for topic, arrived, stamp in lines]


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
