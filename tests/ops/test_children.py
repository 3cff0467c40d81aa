"""The supervisor's promises about processes, kept on real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from condahub.ops.children import Child, spawn
from condahub.ops.roles import HOME

pytestmark = pytest.mark.real

# Supervises the Python programs given as arguments, and says which process is whose.
SUPERVISE = """
import sys, pathlib
from functools import partial
from condahub.ops.children import Child, spawn
from condahub.ops.supervise import Supervisor
folder = pathlib.Path(sys.argv[1])
say = lambda name, line: print(name, line, flush=True)
begin = lambda program: partial(spawn, [sys.executable, "-c", program], environment={}, folder=folder)
children = [Child(str(n), begin(program), say) for n, program in enumerate(sys.argv[2:])]
supervisor = Supervisor(children, status=folder / "processes.json")
while not supervisor.is_stopping():
    supervisor.step(1)
supervisor.end()
print("end", flush=True)
"""
FOREVER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + FOREVER
WITH_OFFSPRING = "import subprocess, sys; print(subprocess.Popen(['sleep', '61']).pid, flush=True);" + FOREVER


def alive(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started = []

    def start(*programs: str) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-c", SUPERVISE, str(tmp_path), *map(textwrap.dedent, programs)]
        process = subprocess.Popen(arguments, cwd=HOME, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=20)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_child_that_crashes_is_started_again_and_the_others_go_on(supervise: Callable[..., subprocess.Popen[str]]) -> None:
    hub = supervise("import sys; print('up', flush=True); sys.exit(3)", FOREVER)
    seen = [line(hub) for _ in range(5)]
    assert seen.count("0 up") == 2
    assert "0 ended (exit code 3); starting again in 0.5 s" in seen
    assert seen.count("1 up") == 1


def test_the_pause_before_a_restart_grows(tmp_path: Path) -> None:
    said: list[str] = []
    begin = partial(spawn, [sys.executable, "-c", "raise SystemExit(1)"], environment={}, folder=tmp_path)
    child = Child("x", begin, lambda _, text: said.append(text))
    pauses = []
    for _ in range(3):
        child.look_after(child.start_at)
        assert child.process is not None
        child.process.wait()
        now = time.monotonic()
        child.look_after(now)
        pauses.append(round(child.start_at - now, 1))
    assert pauses == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_everything_soon(
    supervise: Callable[..., subprocess.Popen[str]], eventually: Callable[..., object], ending: signal.Signals
) -> None:
    # One that does not listen is enough of them, for it is waited for.
    hub = supervise(WITH_OFFSPRING, STUBBORN if ending == signal.SIGTERM else FOREVER)
    seen = {line(hub) for _ in range(3)}
    offspring = next(int(text.split()[1]) for text in seen if text.split()[1].isdigit())
    hub.send_signal(ending)
    # One that does not listen would sleep for a minute.
    assert hub.wait(timeout=30) == 0
    eventually(lambda: not alive(offspring))


@pytest.mark.skipif(sys.platform != "linux", reason="the tie to the parent is prctl's")
def test_no_child_outlives_a_killed_supervisor(
    supervise: Callable[..., subprocess.Popen[str]], eventually: Callable[..., object], tmp_path: Path
) -> None:
    import json

    hub = supervise(FOREVER, STUBBORN)
    assert {line(hub), line(hub)} == {"0 up", "1 up"}
    pids = json.loads((tmp_path / "processes.json").read_text())
    os.kill(hub.pid, signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in pids.values()))


def test_a_long_last_line_without_an_end_is_not_lost(supervise: Callable[..., subprocess.Popen[str]]) -> None:
    hub = supervise("import sys; sys.stdout.write('x' * 200_000); sys.stdout.flush(); sys.exit(0)")
    assert line(hub) == "0 " + "x" * 200_000
