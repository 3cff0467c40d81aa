"""A real hub for the tests that need one: started as a person starts it, on ports and a data folder of its own."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import httpx

from condahub.ops.children import die_with_parent
from condahub.ops.roles import HOME
from condahub.ops.supervise import any_free_port

# A machine that does much else beside may need longer.
START_SECONDS = float(os.environ.get("TESTS_HUB_START_SECONDS", "90"))
STOP_SECONDS = 15
DATABASE = "condahub.sqlite3"
ADMIN_TOKEN = "tests-administrator-token-0123456789"
ADMIN_PASSWORD = "tests-administrator-password"


@dataclass
class RunningHub:
    """One hub. `url` is the web's, `data_url` the byte-serving process's; `data` its folder; `log` what it printed so far."""

    data: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes]
    admin_token: str = ADMIN_TOKEN
    admin_password: str = ADMIN_PASSWORD
    headers: dict[str, str] = field(default_factory=lambda: {"Authorization": f"Bearer {ADMIN_TOKEN}"})

    @classmethod
    def start(cls, data: Path, extra: Mapping[str, str] | None = None, *, from_nothing: bool = False) -> RunningHub:
        """Start one on the folder `data`, which it may have used before, and wait until it answers.

        from_nothing: it migrates an empty database itself; otherwise one that is migrated already is put there for it.
        """
        data.mkdir(parents=True, exist_ok=True)
        if not from_nothing and not (data / DATABASE).exists():
            shutil.copy(_migrated_database(), data / DATABASE)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CONDAHUB_", "PORT", "DJANGO_"))}
        environment = {
            **inherited,
            "PORT": str(any_free_port()),
            "CONDAHUB_DATA_PORT": str(any_free_port()),
            "CONDAHUB_DATA": str(data),
            "CONDAHUB_ADMIN_TOKEN": ADMIN_TOKEN,
            "CONDAHUB_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "CONDAHUB_DEMO": "0",
            **(extra or {}),
        }
        with (data / "output.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "condahub.ops.supervise"],
                cwd=HOME,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        hub = cls(data, environment, process)
        try:
            hub.wait_until_live()
        except BaseException:
            hub.stop()
            raise
        return hub

    @property
    def url(self) -> str:
        """Where the web process listens."""
        return f"http://127.0.0.1:{self.environment['PORT']}"

    @property
    def data_url(self) -> str:
        """Where the byte-serving process listens."""
        return f"http://127.0.0.1:{self.environment['CONDAHUB_DATA_PORT']}"

    @property
    def log(self) -> str:
        """Everything it printed."""
        return (self.data / "output.log").read_text(errors="replace")

    def wait_until_live(self, within_seconds: float = START_SECONDS) -> None:
        """Return once web and data both answer."""
        deadline = time.monotonic() + within_seconds
        for address in (self.url, self.data_url):
            while not self._answers(address):
                assert self.process.poll() is None, f"the hub ended by itself:\n{self.log[-4000:]}"
                assert time.monotonic() < deadline, f"{address} does not answer after {within_seconds} s:\n{self.log[-4000:]}"
                time.sleep(0.1)

    @staticmethod
    def _answers(address: str) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{address}/livez", timeout=5).status_code == 200
        return False

    def pids(self) -> dict[str, int]:
        """The process ids by name: supervisor, web, data, quick, heavy, beat."""
        found: dict[str, int] = json.loads((self.data / "processes.json").read_text())
        return found

    def kill(self, name: str) -> int:
        """SIGKILL to one process and all it started, as an out-of-memory killer or a power cut would; its old pid."""
        pid = self.pids()[name]
        os.killpg(pid, signal.SIGKILL)
        return pid

    def cut_off(self) -> None:
        """End it as a power cut does: nobody waits for the last job of a hub that no test looks at any more."""
        pids = self.pids() if (self.data / "processes.json").exists() else {}
        self.process.kill()
        self.process.wait()
        for name in set(pids) - {"supervisor"}:
            with suppress(ProcessLookupError):
                os.killpg(pids[name], signal.SIGKILL)

    def stop(self) -> None:
        """End it as SIGTERM does."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@cache
def _migrated_database() -> Path:
    """Made once for all hubs of this process."""
    folder = tempfile.TemporaryDirectory(prefix="condahub-migrated-")
    atexit.register(folder.cleanup)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CONDAHUB_", "DJANGO_"))}
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=HOME, env={**environment, "CONDAHUB_DATA": folder.name}, check=True)
    return Path(folder.name) / DATABASE


@contextmanager
def start_hub(data: Path, **environment: str) -> Iterator[RunningHub]:
    """A hub for the length of a block."""
    hub = RunningHub.start(data, environment)
    try:
        yield hub
    finally:
        hub.cut_off()
