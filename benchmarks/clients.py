"""A client that costs little: one kept connection, requests timed to the last byte of the answer."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from benchmarks.packages import SmallPackage

TIMEOUT_SECONDS = 300
SEND_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    def expect(self, *statuses: int) -> Response:
        """Raises RuntimeError for another status: a measurement of refusals is none."""
        if self.status not in statuses:
            raise RuntimeError(f"answered {self.status}: {self.body[:300]!r}")
        return self


class Client:
    """Speaks to one server; `token` goes out as X-API-Key, which both servers take."""

    def __init__(self, url: str, token: str = "") -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_SECONDS, blocksize=SEND_BYTES)
        self._headers = {"X-API-Key": token} if token else {}

    def request(self, method: str, path: str, body: bytes | BinaryIO | None = None, headers: Mapping[str, str] | None = None) -> Response:
        """A file is sent chunked, as rattler-build sends one."""
        begun = time.perf_counter()
        self._connection.request(method, path, body, {**self._headers, **(headers or {})})
        answer = self._connection.getresponse()
        content = answer.read()
        seconds = time.perf_counter() - begun
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content, seconds)

    def get(self, path: str) -> Response:
        return self.request("GET", path)

    def json(self, path: str) -> Any:
        return json.loads(self.get(path).expect(200).body)

    def post_json(self, path: str, body: object) -> Response:
        return self.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def upload(self, channel: str, package: SmallPackage) -> Response:
        """As quetz-client, rattler-build and pixi do it."""
        path = f"/api/channels/{channel}/upload/{package.filename}?force=false&sha256={package.sha256}"
        return self.request("POST", path, package.data).expect(201)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def wait_until(look: Callable[[], bool], *, within_seconds: float, every_seconds: float = 0.1) -> float:
    """Returns the seconds it took until `look` was true. Raises TimeoutError."""
    begun = time.perf_counter()
    while not look():
        if time.perf_counter() - begun > within_seconds:
            raise TimeoutError(f"did not come about within {within_seconds} s")
        time.sleep(every_seconds)
    return time.perf_counter() - begun


class Pulse:
    """Asks for one small thing again and again for the length of a block, as other people do meanwhile; `seconds` of each answer."""

    def __init__(self, url: str, path: str, token: str = "", *, every_seconds: float = 0.02) -> None:
        self._client, self._path, self._every = Client(url, token), path, every_seconds
        self.seconds: list[float] = []
        self.failure: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()
        if self.failure is not None and error is None:
            raise self.failure

    def _beat(self) -> None:
        try:
            while not self._stop.wait(self._every):
                self.seconds.append(self._client.get(self._path).expect(200).seconds)
        except Exception as failure:  # noqa: BLE001 - told at the end of the block
            self.failure = failure


def uploads_a_second(url: str, token: str, channel: str, packages: list[SmallPackage], clients: int) -> float:
    """How many uploads so many clients get acknowledged a second, together."""
    waiting = iter(packages)
    lock = threading.Lock()
    failures: list[Exception] = []

    def work() -> None:
        try:
            with Client(url, token) as client:
                while True:
                    with lock:
                        package = next(waiting, None)
                    if package is None:
                        return
                    client.upload(channel, package)
        except Exception as failure:  # noqa: BLE001 - told below
            failures.append(failure)

    begun = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return len(packages) / (time.perf_counter() - begun)
