"""Home Assistant's HTTP and WebSocket interfaces, as its own pages use them.

https://developers.home-assistant.io/docs/api/websocket
"""

import itertools
import json
from contextlib import ExitStack
from typing import Any

import requests
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from support.daemons.processes import PATIENCE

NAME, PASSWORD = "owner", "a password of the tests"


class RefusedError(Exception):
    """Home Assistant refuses a command; `code` is its word for the reason."""

    def __init__(self, command: str, error: dict[str, str]) -> None:
        super().__init__(f"{command}: {error['code']}: {error['message']}")
        self.code = error["code"]


class Api:
    """One Home Assistant: the login of its owner, and a connection for commands.

    `tokens` is what a login returns: the pages keep it in the browser's storage.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.tokens: dict[str, Any] = {}
        self._token: str | None = None
        self._socket: ClientConnection | None = None
        self._open = ExitStack()  # closes the socket
        self._ids = itertools.count(1)

    @property
    def running(self) -> bool:
        """Whether Home Assistant has started; before the owner exists, whether it answers."""
        try:
            if self._token is None:
                return requests.get(f"{self.url}/api/onboarding", timeout=5).ok
            state: str = self.get("/api/config")["state"]
        except (requests.RequestException, KeyError):
            return False
        return state == "RUNNING"

    def onboard(self) -> None:
        """Make the owner, and log in."""
        client = f"{self.url}/"
        owner = {"client_id": client, "name": NAME, "username": NAME, "password": PASSWORD, "language": "en"}
        code = self.post("/api/onboarding/users", owner)["auth_code"]
        login = {"client_id": client, "grant_type": "authorization_code", "code": code}
        answer = requests.post(f"{self.url}/auth/token", data=login, timeout=PATIENCE)
        answer.raise_for_status()
        self.tokens = answer.json()
        self._token = self.tokens["access_token"]
        # That token is good for half an hour.
        self._token = self.command("auth/long_lived_access_token", client_name="tests", lifespan=10)

    def add_mqtt(self, port: int) -> None:
        """Add the MQTT integration by its form."""
        flow = "/api/config/config_entries/flow"
        form = self.post(flow, {"handler": "mqtt"})
        answers: dict[str, Any] = {"broker": "127.0.0.1", "port": port}
        if any(field["name"] == "other_settings" for field in form["data_schema"]):  # of newer versions
            answers["other_settings"] = {"set_client_cert": False, "set_ca_cert": "off"}
        result = self.post(f"{flow}/{form['flow_id']}", answers)
        assert result["type"] == "create_entry", result

    def get(self, path: str) -> Any:
        """Return the answer to a GET."""
        answer = requests.get(self.url + path, headers=self._authorization(), timeout=PATIENCE)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Return the answer to a POST."""
        answer = requests.post(self.url + path, json=body, headers=self._authorization(), timeout=PATIENCE)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def command(self, command: str, **arguments: Any) -> Any:
        """Send a command to the WebSocket, and return its result.

        Raises:
            RefusedError: Home Assistant says that it failed.
        """
        return self._result(command, self._send(command, arguments))

    def first_event(self, subscription: str, **arguments: Any) -> Any:
        """Send a command that subscribes to events, and return the first of them."""
        number = self._send(subscription, arguments)
        self._result(subscription, number)
        event = self._receive(number, "event")["event"]
        self.command("unsubscribe_events", subscription=number)
        return event

    def call_service(self, service: str, **data: Any) -> None:
        """Call a service such as `system_log.write`."""
        domain, _, name = service.partition(".")
        self.command("call_service", domain=domain, service=name, service_data=data)

    def disconnect(self) -> None:
        """Close the connection; the next command opens another one."""
        self._socket = None
        self._open.close()

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _connection(self) -> ClientConnection:
        if self._socket is None:
            address = self.url.replace("http", "ws", 1) + "/api/websocket"
            # Without pings: a thread that asks `random` would disturb Hypothesis, in other tests of this process.
            options: dict[str, Any] = {"max_size": None, "proxy": None, "compression": None, "ping_interval": None}
            made = connect(address, open_timeout=PATIENCE, **options)
            socket = self._open.enter_context(made)
            socket.recv(PATIENCE)
            socket.send(json.dumps({"type": "auth", "access_token": self._token}))
            answer = json.loads(socket.recv(PATIENCE))
            assert answer["type"] == "auth_ok", answer
            self._socket = socket
        return self._socket

    def _send(self, command: str, arguments: dict[str, Any]) -> int:
        number = next(self._ids)
        self._connection().send(json.dumps(arguments | {"id": number, "type": command}))
        return number

    def _result(self, command: str, number: int) -> Any:
        answer = self._receive(number, "result")
        if not answer["success"]:
            raise RefusedError(command, answer["error"])
        return answer["result"]

    def _receive(self, number: int, kind: str) -> Any:
        """Wait for the next message of this kind about a command; others are of earlier subscriptions."""
        try:
            while True:
                message = json.loads(self._connection().recv(PATIENCE))
                if message["id"] == number and message["type"] == kind:
                    return message
        except WebSocketException:
            self.disconnect()
            raise
