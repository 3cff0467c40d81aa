"""The child process: it says how it ended, keeps to its limits, and is told its secrets on its input alone."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from condahub.engine import runner
from condahub.engine.protocol import Channel, Event, Platform, Solve, SolveAnswer, encode_request, stdin_of
from condahub.engine.runner import CLOSED_PROXY, EngineFailed, answer_of, child_argv, child_environment, hosts_of, run
from condahub.jobs.child import supervise
from tests.engine.channels import TOKEN, Server
from tests.engine.conftest import Hub


def solve_request(server: Server, hub: Hub) -> Solve:
    team = server.channel("team", token=TOKEN)
    team.add("lib")
    return Solve(
        channels=(team.channel(),),
        platforms=(Platform(subdir="linux-64"),),
        specs=("lib",),
        cache_folder=str(hub.folder / "repodata"),
        token=TOKEN,
    )


def children_of(pid: int) -> list[int]:
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def test_a_job_s_supervisor_can_run_it_as_any_child(server: Server, hub: Hub) -> None:
    request = solve_request(server, hub)
    said: list[dict[str, Any]] = []
    end = supervise(
        child_argv(),
        stdin=stdin_of(request),
        env=child_environment(hosts_of(request)),
        timeout_seconds=60,
        on_output=said.append,
        on_error_line=lambda line: None,
        check=lambda: None,
    )
    assert end.status == 0
    assert [line["progress"]["phase"] for line in said if "progress" in line] == ["solve", "solve"]
    answer = answer_of(request, said[-1]["result"])
    assert isinstance(answer, SolveAnswer) and answer.lock is not None


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells")
def test_the_token_is_neither_in_the_command_line_nor_in_the_environment(server: Server, hub: Hub) -> None:
    request = solve_request(server, hub)
    seen: list[bytes] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.005):
            for pid in children_of(os.getpid()):
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        seen.append(Path(f"/proc/{pid}/{name}").read_bytes())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        run(request)
    finally:
        stop.set()
        watcher.join()
    of_the_child = [text for text in seen if b"condahub.engine.child" in text or b"MALLOC_ARENA_MAX" in text]
    assert of_the_child and all(TOKEN.encode() not in text for text in of_the_child)
    environment = child_environment({"hub.example"})
    assert environment["HTTPS_PROXY"] == CLOSED_PROXY and environment["NO_PROXY"] == "hub.example"
    assert not {name for name in environment if "SECRET" in name or "DATABASE" in name or name.startswith(("CONDAHUB", "DJANGO"))}


def test_time_and_memory_limits_end_the_child(server: Server, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    request = solve_request(server, hub)
    hog = "import time; data = bytearray(200_000_000); time.sleep(60)"
    monkeypatch.setattr(runner, "child_argv", lambda: [sys.executable, "-c", hog])
    started = time.monotonic()
    for limits, code in (({"timeout_seconds": 0.3}, "timed_out"), ({"max_memory_bytes": 100_000_000}, "out_of_memory")):
        with pytest.raises(EngineFailed) as refused:
            run(request, **limits)  # type: ignore[arg-type]
        assert (refused.value.code, refused.value.status) == (code, 422)
    assert time.monotonic() - started < 20
    assert children_of(os.getpid()) == []


def test_the_grandchildren_end_too(server: Server, hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    left = tmp_path / "pid"
    start = "import subprocess, time; child = subprocess.Popen(['sleep', '60'], process_group=0)"
    spawn = f"{start}; open({str(left)!r}, 'w').write(str(child.pid)); time.sleep(60)"
    monkeypatch.setattr(runner, "child_argv", lambda: [sys.executable, "-c", spawn])
    with pytest.raises(EngineFailed):
        run(solve_request(server, hub), timeout_seconds=3)
    assert not Path(f"/proc/{left.read_text()}").exists() or "Z" in Path(f"/proc/{left.read_text()}/stat").read_text()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import os; os._exit(3)", "ended before it had a result"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended before it had a result"),
        ('print(\'not json\'); print(\'{"error": {"code": "x", "detail": "Said so.", "status": 409}}\')', "Said so."),
    ],
)
def test_a_child_that_ends_badly_is_an_error_with_a_sentence(
    server: Server, hub: Hub, monkeypatch: pytest.MonkeyPatch, code: str, sentence: str
) -> None:
    monkeypatch.setattr(runner, "child_argv", lambda: [sys.executable, "-c", code])
    with pytest.raises(EngineFailed, match=sentence):
        run(solve_request(server, hub))


def test_a_result_counts_even_if_the_process_crashes_while_it_exits(server: Server, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    code = 'import os; print(\'{"result": {"lock": null}}\', flush=True); os.kill(os.getpid(), 11)'
    monkeypatch.setattr(runner, "child_argv", lambda: [sys.executable, "-c", code])
    assert run(solve_request(server, hub)) == SolveAnswer(lock=None)


def test_one_child_answers_one_request_after_the_other(server: Server, hub: Hub) -> None:
    """A warm one: the second answer does not wait for a start."""
    request = solve_request(server, hub)
    bad = Solve(
        channels=(Channel(name="team", address=server.served["team"].address),),
        platforms=request.platforms,
        specs=("ghost",),
        cache_folder=request.cache_folder,
        token=TOKEN,
    )
    with subprocess.Popen(child_argv(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment(hosts_of(request))) as child:
        assert child.stdin is not None and child.stdout is not None
        kinds = []
        for asked in (b"{}", encode_request(bad), encode_request(request)):
            child.stdin.write(asked + b"\n")
            child.stdin.flush()
            for line in child.stdout:
                if b'"result"' in line or b'"error"' in line:
                    kinds.append("result" if b'"result"' in line else "error")
                    break
        child.stdin.close()
        assert child.wait(timeout=10) == 0
    assert kinds == ["error", "error", "result"]


def test_events_reach_the_one_who_listens(server: Server, hub: Hub) -> None:
    events: list[Event] = []
    run(solve_request(server, hub), on_event=events.append)
    assert [event.progress.done for event in events if event.progress is not None] == [0, 1]
