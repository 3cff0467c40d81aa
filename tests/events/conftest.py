"""The API tests' small world, a real receiver of webhooks, and a way to let the jobs of events run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from condahub.events.models import Event
from condahub.events.services import spreading
from condahub.jobs import runner
from condahub.jobs.models import Job
from tests.api.conftest import World, _fresh_memories  # noqa: F401 - a fixture of these tests too
from tests.api.conftest import world as made_world

__all__ = ["Receiver", "World", "made_world"]


@pytest.fixture
def world(made_world: World) -> World:
    """The small world, after what its making told of was forgotten."""
    Event.objects.all().delete()
    Job.objects.all().delete()
    return made_world


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass
class Receiver:
    """An HTTP server on this machine that keeps what it is sent. `answers`: its next statuses; 204 when there is none left."""

    server: ThreadingHTTPServer
    received: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook?key=in-the-url"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.received.append(Received(self.path, dict(self.headers), body))
            status = found.answers.pop(0) if found.answers else 204
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", found.url)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    found = Receiver(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    thread = threading.Thread(target=found.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


@pytest.fixture
def near(settings: Settings) -> None:
    """The operator allows receivers on this machine."""
    settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED = ["127.0.0.0/8"]


@pytest.fixture
def mailing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """E-mail is set up, and goes at once (into pytest-django's outbox)."""
    settings.CONDAHUB_EMAIL_ENABLED = True
    monkeypatch.setattr(spreading, "GATHER_MAIL_SECONDS", 0)


@pytest.fixture
def tell(django_capture_on_commit_callbacks: Callable[..., Any]) -> Callable[..., Any]:
    """`tell(callable)` calls it, commits, and runs what jobs are due; returns what the callable did."""

    def run(act: Callable[[], Any] = lambda: None) -> Any:
        with django_capture_on_commit_callbacks(execute=True):
            result = act()
        with django_capture_on_commit_callbacks(execute=True):
            runner.drain("quick")
        return result

    return run
