"""A real gunicorn with the hub's worker and configuration, running the small application of `app.py`."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from condahub.storage.disk import MARKER

THREADS = 8
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Answer:
    """What a request got."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, its store, its log."""

    port: int
    store: Path
    log: Path
    process: subprocess.Popen[bytes]

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    @contextmanager
    def open(self) -> Iterator[http.client.HTTPConnection]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            yield connection

    def ask(self, method: str, path: str, **options: Any) -> Answer:
        """One request on a connection of its own."""
        with self.open() as connection:
            connection.request(method, path, **options)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read())

    def get_seconds(self) -> float:
        """How long a GET takes just now."""
        started = time.monotonic()
        assert self.ask("GET", "/hello").body == b"hello"
        return time.monotonic() - started

    def raw(self, data: bytes, *, then_shut: bool = False) -> tuple[int, bytes]:
        """Sends bytes as they are; the status and body that come back before the server closes."""
        with self.connect() as client:
            client.sendall(data)
            if then_shut:
                client.shutdown(socket.SHUT_WR)
            return read_answer(client)


def read_answer(client: socket.socket) -> tuple[int, bytes]:
    answer = http.client.HTTPResponse(client)
    answer.begin()
    body = answer.read()
    answer.close()
    return answer.status, body


def run_server(folder: Path, *, limit_seconds: float | None = None, **environment: str) -> Iterator[Server]:
    store = folder / "store"
    (store / ".incoming").mkdir(parents=True)
    (store / MARKER).touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "DJANGO_SETTINGS_MODULE": "tests.server.app_settings",
        "CONDAHUB_TEST_STORE": str(store),
        "PORT": str(port),
        "CONDAHUB_WEB_WORKERS": "1",
        "CONDAHUB_WEB_THREADS": str(THREADS),
    }
    if limit_seconds is not None:
        settings["CONDAHUB_TEST_LIMIT_SECONDS"] = str(limit_seconds)
    log = folder / "log"
    command = [sys.executable, "-m", "gunicorn", "-c", "python:condahub.server.gunicorn_web", "tests.server.app:application"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env={**os.environ, **settings, **environment}, stdout=output, stderr=subprocess.STDOUT
        )
    server = Server(port, store, log, process)
    try:
        _await(server)
        yield server
    finally:
        _stop(process)


def _await(server: Server) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            server.get_seconds()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(server.log.read_text())


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With the limits that the hub has."""
    yield from run_server(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="session")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With limits of one second, for those who wait until they pass."""
    yield from run_server(tmp_path_factory.mktemp("hasty"), limit_seconds=1)
