"""A hub that stumbles, refuses, or is not there: the command tries again where that is safe, and says in a sentence what it was."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from condahub.cli import client
from tests.cli.conftest import Run

Answer = tuple[int, dict[str, str], object]
TOKEN = "a-token-that-nobody-may-see-0123456789"


class Stumbling:
    """A server that answers what it is told to, in order; None breaks the connection. Remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer | None] = []
        self.seen: list[tuple[str, str, bytes, str]] = []
        stumbling = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                answer = stumbling.answers.pop(0)
                length = int(self.headers.get("Content-Length") or 0)
                if answer is None:
                    stumbling.seen.append((self.command, self.path, self.rfile.read(length // 2), self.headers.get("Authorization", "")))
                    self.close_connection = True
                    self.connection.close()
                    return
                body = self.rfile.read(length)
                stumbling.seen.append((self.command, self.path, body, self.headers.get("Authorization", "")))
                status, headers, content = answer
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                headers = {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = do_PATCH = answer

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def stumbling(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stumbling]:
    hub = Stumbling()
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.setenv("CONDAHUB_URL", hub.url)
    monkeypatch.setenv("CONDAHUB_TOKEN", TOKEN)
    yield hub
    hub.server.shutdown()
    hub.server.server_close()
    thread.join()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "demo-1.0-0.conda"
    path.write_bytes(bytes(range(256)) * 20_000)
    return path


PUBLISHED: Answer = (201, {}, {"subdir": "noarch", "filename": "demo-1.0-0.conda", "created": True, "revision": 2, "size": 3})
BUSY: Answer = (503, {"Retry-After": "0"}, {"code": "unavailable", "detail": "The hub's storage does not answer.", "hint": ""})


def test_an_upload_survives_broken_connections_and_a_busy_hub(stumbling: Stumbling, run: Run, package: Path) -> None:
    stumbling.answers = [None, BUSY, None, PUBLISHED]
    result = run("upload", "tools", str(package))
    assert result.exit_code == 0, result.output
    data = package.read_bytes()
    assert stumbling.seen[-1][2] == data
    assert all(f"sha256={hashlib.sha256(data).hexdigest()}" in path for _, path, _, _ in stumbling.seen)


def test_a_hub_that_stays_away_ends_the_command_after_a_few_tries(stumbling: Stumbling, run: Run, package: Path) -> None:
    stumbling.answers = [BUSY] * 20
    result = run("upload", "tools", str(package))
    assert result.exit_code == 3 and "storage does not answer" in result.stderr
    assert len(stumbling.seen) == client.ATTEMPTS


def test_the_hub_s_wish_to_wait_is_heard_within_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(client.time, "sleep", waited.append)
    client._pause(1, "7")
    client._pause(1, "86400")
    client._pause(1, "tomorrow")
    assert waited[0] == 7 and waited[1] == client.LONGEST_PAUSE_SECONDS and waited[2] < 1


def test_what_may_have_acted_is_not_sent_twice(stumbling: Stumbling, run: Run) -> None:
    stumbling.answers = [None, (201, {}, {"id": 1, "name": "ci", "secret": "x"})]
    result = run("token", "create", "ci", "--scope", "ci")
    assert result.exit_code == 3 and len(stumbling.seen) == 1


def test_what_only_reads_is_asked_again(stumbling: Stumbling, run: Run) -> None:
    stumbling.answers = [None, (502, {}, b"bad gateway"), (200, {}, {"username": "maria"})]
    assert run("whoami").exit_code == 0 and len(stumbling.seen) == 3


def test_a_hub_that_is_not_there_is_said_to_be_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDAHUB_TOKEN", TOKEN)
    result = run("whoami", "--hub", "http://127.0.0.1:9")
    assert result.exit_code == 3
    assert result.stderr.startswith("http://127.0.0.1:9 does not answer")


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"Content-Type": "application/json"}, b"{half"),
        (404, {"Content-Type": "text/html"}, b"<html>some other server</html>"),
        (500, {"Content-Type": "text/html"}, b"<html>oops</html>"),
    ],
)
def test_an_answer_that_makes_no_sense_is_a_sentence_too(stumbling: Stumbling, run: Run, answer: Answer) -> None:
    stumbling.answers = [answer]
    result = run("whoami")
    assert result.exit_code in (1, 3) and stumbling.url in result.stderr and "html" not in result.stderr


def test_a_token_does_not_follow_a_redirect(stumbling: Stumbling, run: Run) -> None:
    other = Stumbling()
    try:
        stumbling.answers = [(302, {"Location": f"{other.url}/api/hub/v1/me"}, {})]
        result = run("whoami")
        assert result.exit_code == 1 and other.url in result.stderr
        assert other.seen == []
    finally:
        other.server.server_close()


def test_a_refusal_that_quotes_the_token_is_masked(stumbling: Stumbling, run: Run) -> None:
    quoted = "chub-user-0123456789012345678901234567890123456789-0aB1cD"
    stumbling.answers = [(400, {}, {"code": "invalid", "detail": f"Bad request: /t/{TOKEN}/x with {quoted}", "hint": ""})]
    result = run("whoami")
    assert TOKEN not in result.output and quoted not in result.output


def test_an_early_refusal_is_heard_although_the_body_is_on_its_way(run: Run, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        connection, _ = listener.accept()
        connection.recv(1000)
        body = b'{"code": "forbidden", "detail": "You may not do this.", "hint": ""}'
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass
        connection.close()

    thread = threading.Thread(target=refuse)
    thread.start()
    monkeypatch.setenv("CONDAHUB_TOKEN", TOKEN)
    result = run("upload", "tools", str(package), "--hub", f"http://127.0.0.1:{listener.getsockname()[1]}")
    thread.join()
    listener.close()
    assert result.exit_code == 1 and "You may not do this." in result.stderr
