"""A supervised child: it gets what it is given, keeps its limits, and leaves nobody behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from condahub.jobs.child import ChildEnd, ChildFailed, Conversation, supervise

ROOT = Path(__file__).parents[2]
# A child that has a child of its own, in another process group, and writes down both.
FAMILY = (
    "import os, subprocess, sys, time\n"
    "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], process_group=0)\n"
    "open({pids!r} + '.new', 'w').write(f'{{os.getpid()}} {{other.pid}}'); os.rename({pids!r} + '.new', {pids!r})\n"
    "time.sleep(60)"
)


class Heard:
    """What a child said."""

    def __init__(self) -> None:
        self.objects: list[dict[str, Any]] = []
        self.lines: list[str] = []


def run(code: str, *, stdin: object = None, env: Mapping[str, str] | None = None, **limits: Any) -> tuple[ChildEnd, Heard]:
    heard = Heard()
    limits = {"timeout_seconds": 20, "check": lambda: None, **limits}
    end = supervise(
        [sys.executable, "-c", code], stdin=stdin, env=env or {}, on_output=heard.objects.append, on_error_line=heard.lines.append, **limits
    )
    return end, heard


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def test_it_gets_the_whole_input_and_its_lines_arrive_in_order() -> None:
    code = (
        "import json, sys\nvalue = json.load(sys.stdin)\n"
        "print(json.dumps({'length': len(value['text'])}))\nprint('not json')\nprint('oops', file=sys.stderr)\n"
        "print(json.dumps({'end': True}), end='')"
    )
    end, heard = run(code, stdin={"text": "x" * 3_000_000})
    assert end.status == 0
    assert heard.objects == [{"length": 3_000_000}, {"end": True}]
    assert sorted(heard.lines) == ["not json", "oops"]


def test_its_environment_is_the_given_one_and_nothing_else() -> None:
    lines: list[str] = []
    given = {"PATH": "/usr/bin:/bin", "ONLY": "this"}
    supervise(
        ["/usr/bin/env"],
        stdin=None,
        env=given,
        timeout_seconds=10,
        on_output=lambda _: None,
        on_error_line=lines.append,
        check=lambda: None,
    )
    assert sorted(lines) == ["ONLY=this", "PATH=/usr/bin:/bin"]


def test_it_inherits_no_open_file_of_the_hub(tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        code = (
            "import json, os\nnames = ['/proc/self/fd/' + name for name in os.listdir('/proc/self/fd')]\n"
            "print(json.dumps({'links': [os.readlink(name) for name in names if os.path.exists(name)]}))"
        )
        _, heard = run(code)
    assert not [link for link in heard.objects[0]["links"] if "secret" in link]


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"])
def test_how_it_ended_is_told(code: str) -> None:
    assert run(code)[0].status == (3 if "SystemExit" in code else 128 + signal.SIGSEGV)


def test_a_program_that_is_not_there_ends_with_a_line_and_no_exception_of_ours() -> None:
    lines: list[str] = []
    end = supervise(
        ["/nowhere/program"],
        stdin=None,
        env={},
        timeout_seconds=10,
        on_output=lambda _: None,
        on_error_line=lines.append,
        check=lambda: None,
    )
    assert end.status == 127
    assert "/nowhere/program" in lines[0]


def test_past_its_time_it_is_killed_with_all_its_descendants(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(ChildFailed) as failure:
        run(FAMILY.format(pids=str(pids)), timeout_seconds=1.5)
    assert (failure.value.code, failure.value.status) == ("timed_out", 422)
    assert not [pid for pid in map(int, pids.read_text().split()) if is_running(pid)]


def test_past_its_memory_the_sum_over_the_group_counts() -> None:
    # Two processes of 60 MiB each: neither alone is over 100.
    code = "import os, time\nos.fork()\nblock = b'x' * (60 * 2**20)\ntime.sleep(30)"
    started = time.monotonic()
    with pytest.raises(ChildFailed) as failure:
        run(code, max_memory_bytes=100 * 2**20)
    assert failure.value.code == "out_of_memory"
    assert time.monotonic() - started < 10
    end, _ = run(code.replace("sleep(30)", "sleep(1)"), max_memory_bytes=400 * 2**20)
    assert 100 * 2**20 < end.peak_memory_bytes < 300 * 2**20


def test_whatever_check_raises_ends_it(tmp_path: Path, eventually: Callable[..., object]) -> None:
    pids = tmp_path / "pids"

    def check() -> None:
        if pids.exists():
            raise KeyError("stop")

    with pytest.raises(KeyError):
        run(FAMILY.format(pids=str(pids)), check=check)
    assert not [pid for pid in map(int, pids.read_text().split()) if is_running(pid)]


def test_a_worker_that_is_killed_takes_its_child_with_it(tmp_path: Path, eventually: Callable[..., object]) -> None:
    pids = tmp_path / "pids"
    code = (
        "import sys; from condahub.jobs.child import supervise\n"
        f"supervise([sys.executable, '-c', {FAMILY.format(pids=str(pids))!r}], stdin=None, env={{}}, timeout_seconds=50, "
        "on_output=print, on_error_line=print, check=lambda: None)"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    eventually(pids.exists)
    family = [int(pid) for pid in pids.read_text().split()]
    assert all(map(is_running, family))
    worker.kill()
    worker.wait()
    eventually(lambda: not any(map(is_running, family)), 5)


def test_no_descriptor_is_left_open() -> None:
    run("pass")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        run("pass")
    assert len(os.listdir("/proc/self/fd")) == before


ECHO = (
    "import json, os, sys\nfor line in sys.stdin:\n    said = json.loads(line)\n    if said == 'end': sys.exit(3)\n"
    "    print(json.dumps({'heard': said, 'pid': os.getpid()}), flush=True)"
)


def ask(child: Conversation, value: object, **limits: Any) -> tuple[ChildEnd | None, list[dict[str, Any]]]:
    heard: list[dict[str, Any]] = []
    limits = {"timeout_seconds": 20, "check": lambda: None, **limits}
    end = child.ask(value, answered=lambda: bool(heard), on_output=heard.append, on_error_line=lambda line: None, **limits)
    return end, heard


def test_a_child_that_stays_answers_one_question_after_another_and_is_gone_when_it_is_left() -> None:
    with Conversation([sys.executable, "-c", ECHO], env={}) as child:
        first = ask(child, {"text": "x" * 3_000_000})
        second = ask(child, 2)
        assert (first[0], second[0]) == (None, None)
        assert [len(first[1][0]["heard"]["text"]), second[1][0]["heard"]] == [3_000_000, 2]
        assert first[1][0]["pid"] == second[1][0]["pid"]
        assert is_running(first[1][0]["pid"])
    assert not child.is_open
    assert not is_running(first[1][0]["pid"])


def test_one_that_ends_instead_of_answering_is_told_of_and_one_past_a_limit_is_killed() -> None:
    with Conversation([sys.executable, "-c", ECHO], env={}) as child:
        end, heard = ask(child, "end")
        assert (end is not None and end.status, heard, child.is_open) == (3, [], False)
    with Conversation([sys.executable, "-c", "import time; time.sleep(60)"], env={}) as child:
        with pytest.raises(ChildFailed) as failed:
            ask(child, 1, timeout_seconds=0.5)
        assert (failed.value.code, child.is_open) == ("timed_out", False)
    hog = "import sys, time; kept = b'x' * 300_000_000; time.sleep(60)"
    with Conversation([sys.executable, "-c", hog], env={}, max_memory_bytes=100_000_000) as child:
        with pytest.raises(ChildFailed) as failed:
            ask(child, 1)
        assert failed.value.code == "out_of_memory"
