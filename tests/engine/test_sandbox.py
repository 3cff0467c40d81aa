"""What strangers' programs can't do in the sandbox: reach anybody, read the hub's files, write outside, stay, take too much."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from condahub.engine import sandbox
from condahub.engine.sandbox import Bounds, Ended, SandboxFailed, World
from tests.parts import require_sandbox

pytestmark = [pytest.mark.real, pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are Linux's")]

PATIENT = Bounds(seconds=60, memory_bytes=2**30, disk_bytes=2**20)


@pytest.fixture(autouse=True)
def works() -> None:
    require_sandbox()


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """The folder that is the program's to write to."""
    (tmp_path / "room").mkdir()
    return tmp_path / "room"


def script(text: str, room: Path, *, bounds: Bounds = PATIENT, **more: object) -> Ended:
    return sandbox.run(["/bin/bash", "-c", text], World(writable=[(room, "/made/for/here")], **more), bounds)  # type: ignore[arg-type]


def test_it_has_its_folder_and_says_how_it_ended(room: Path) -> None:
    ended = script('echo said; echo more >&2; echo "$GIVEN" > given; exit 3', room, environment={"GIVEN": "it"}, folder="/made/for/here")
    assert (ended.status, ended.output) == (3, "said\nmore\n")
    assert (room / "given").read_text() == "it\n"


def test_there_is_no_network_not_even_the_machine_itself(room: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        ended = script(f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached", room)
    assert ended.status != 0 and "reached" not in ended.output
    assert script("grep -c : /proc/net/dev", room).output == "1\n", "the loopback of its own alone"


def test_the_hubs_files_and_secrets_are_not_there(room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDAHUB_SECRET_KEY", "the-hubs-secret")
    secret = tmp_path / "data" / "secret-key"
    secret.parent.mkdir()
    secret.write_text("the-hubs-secret")
    project = Path(sandbox.__file__).resolve().parents[2]
    ended = script(
        f"cat {secret}; ls {tmp_path} {project} /root /var /home; env; cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'", room
    )
    assert "the-hubs-secret" not in ended.output and "secret-key:" in ended.output and "manage.py" not in ended.output
    names = {line.partition("=")[0] for line in script("env", room).output.splitlines()}
    assert names == {"HOME", "TMPDIR", "PATH", "LC_ALL", "PWD", "SHLVL", "_"}


def test_a_hidden_folder_among_the_systems_is_empty(room: Path) -> None:
    assert script("ls /usr/share", room, hidden=["/usr/share"]).output == ""


def test_nothing_can_be_written_outside_its_folder(room: Path, tmp_path: Path) -> None:
    read = tmp_path / "read"
    read.write_text("as it was")
    places = "/x /usr/x /etc/x /dev/x /home/x /made/x /made/for/x /given"
    tries = f"for path in {places}; do echo > $path && echo WROTE $path; done; chmod 777 /given"
    ended = script(
        f"{tries}; mount -t tmpfs x /usr; unshare -Ur true; touch /tmp/mine $HOME/mine && echo fine", room, readable=[(read, "/given")]
    )
    assert "WROTE" not in ended.output and ended.output.endswith("fine\n") and ended.output.count("Read-only file system") >= 8
    assert read.read_text() == "as it was" and not Path("/tmp/mine").exists()


def test_what_it_leaves_behind_is_dead_when_it_has_ended(room: Path) -> None:
    # A reader of the pipe hears the end of it only when nobody can write to it any more.
    os.mkfifo(room / "pipe")
    reading = os.open(room / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        ended = script("exec 3>/made/for/here/pipe; echo held >&3; setsid nohup sleep 1000 >/dev/null 2>&1 & exit 0", room)
        assert ended.status == 0 and os.read(reading, 100) == b"held\n" and os.read(reading, 100) == b""
    finally:
        os.close(reading)


def test_it_dies_with_whoever_started_it(room: Path) -> None:
    os.mkfifo(room / "pipe")
    reading = os.open(room / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    text = "exec 3>/made/for/here/pipe; echo held >&3; setsid sleep 1000 & sleep 1000"
    starter = f"""
from pathlib import Path
from condahub.engine.sandbox import Bounds, World, run
run(["/bin/bash", "-c", {text!r}], World(writable=[(Path({str(room)!r}), "/made/for/here")]), Bounds(1000, 2**30, 2**20))
"""
    project = Path(sandbox.__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", starter], cwd=project) as process:
        try:
            assert select.select([reading], [], [], 60)[0] and os.read(reading, 100) == b"held\n"
        finally:
            process.kill()
    try:
        # Readable once more when the last that could write is gone.
        assert select.select([reading], [], [], 60)[0] and os.read(reading, 100) == b""
    finally:
        os.close(reading)


@pytest.mark.parametrize(
    ("text", "bounds", "code"),
    [
        ("setsid sleep 1000 & sleep 1000", Bounds(1, 2**30, 2**20), "timed_out"),
        ("setsid bash -c 'x=$(head -c 80M /dev/zero | tr \"\\0\" x); sleep 1000' & sleep 1000", Bounds(120, 2**26, 2**20), "out_of_memory"),
        ("for n in $(seq 20); do head -c 500K /dev/zero > $n; done; sleep 1000", Bounds(120, 2**30, 2**20), "environment_too_large"),
    ],
    ids=["time", "memory", "disk"],
)
def test_what_it_takes_is_limited(room: Path, text: str, bounds: Bounds, code: str) -> None:
    with pytest.raises(SandboxFailed) as refused:
        script(text, room, bounds=bounds, folder="/made/for/here")
    assert refused.value.code == code and refused.value.status == 422


def test_a_single_file_is_limited_by_the_kernel(room: Path) -> None:
    script("head -c 100M /dev/zero > big", room, folder="/made/for/here")
    assert (room / "big").stat().st_size == PATIENT.disk_bytes


def test_without_bubblewrap_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "PROGRAM", "no-such-program")
    sentence, hint = sandbox.problem()
    assert "not installed" in sentence and "apt-get install bubblewrap" in hint
    with pytest.raises(SandboxFailed) as refused:
        sandbox.require()
    assert refused.value.code == "sandbox_missing"


def test_where_namespaces_are_not_allowed_it_is_said_what_to_allow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refuses = tmp_path / "bwrap"
    refuses.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    refuses.chmod(0o755)
    monkeypatch.setattr(sandbox, "PROGRAM", str(refuses))
    sentence, hint = sandbox.problem()
    assert "No permissions to create new namespace" in sentence and "seccomp" in hint
