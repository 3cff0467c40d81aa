"""A large package is read in a process of its own, to the same end; one that hangs or dies takes nothing with it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from condahub.errors import Unavailable
from condahub.packages import pool
from condahub.packages.errors import BadFilename, BadPackage, PackageBomb, PackageDamaged, PackageSlow
from condahub.packages.limits import Limits
from condahub.packages.pool import IN_PROCESS_MAX_BYTES, inspect
from condahub.packages.reader import read_package
from tests.makers import make_package, make_zip
from tests.packages import hostile

# Any limits but the default ones send a package to a reader process, however small it is.
ELSEWHERE = Limits(max_seconds=60)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return make_package(tmp_path, files={"share/noise": random.Random(1).randbytes(IN_PROCESS_MAX_BYTES + 1)}, about={"é": 1.5})


def test_a_reader_process_says_the_same(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = read_package(large, filename=large.name)
    monkeypatch.setattr(pool, "read_package", None)
    assert inspect(large, filename=large.name) == here


def test_a_small_package_costs_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_package(tmp_path)
    monkeypatch.setattr(pool, "_ask", None)
    assert inspect(path, filename=path.name).files


def test_a_small_package_that_unpacks_to_much_is_read_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_package(tmp_path, files={"share/zeros": bytes(pool.IN_PROCESS_LIMITS.max_unpacked_bytes + 1)})
    assert path.stat().st_size < IN_PROCESS_MAX_BYTES
    asked = []
    ask = pool._ask

    def spy(request: bytes, limits: Limits) -> object:
        asked.append(request)
        return ask(request, limits)

    monkeypatch.setattr(pool, "_ask", spy)
    assert inspect(path, filename=path.name) == read_package(path, filename=path.name)
    assert len(asked) == 1


def test_a_refusal_comes_back_as_itself(tmp_path: Path) -> None:
    path = tmp_path / hostile.CONDA
    path.write_bytes(make_zip(hostile.parts(pkg=hostile.zstd_bomb())))
    with pytest.raises(PackageBomb) as here:
        read_package(path, filename=path.name)
    with pytest.raises(PackageBomb) as elsewhere:
        inspect(path, filename=path.name, limits=ELSEWHERE)
    assert elsewhere.value.as_dict() == here.value.as_dict()
    with pytest.raises(BadFilename):
        inspect(path, filename="demo.conda", limits=ELSEWHERE)


def test_a_file_that_cannot_be_read_is_not_the_packages_fault(tmp_path: Path) -> None:
    path = tmp_path / hostile.CONDA
    path.mkdir()
    with pytest.raises(OSError, match="IsADirectory"):
        inspect(path, filename=path.name, limits=ELSEWHERE)


def test_a_reader_that_takes_too_long_is_killed(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "START_AND_ANSWER_SECONDS", 0.0)
    with pytest.raises(PackageSlow):
        inspect(large, filename=large.name, limits=Limits(max_seconds=0.01))


def test_a_reader_that_dies_is_tried_once_more_and_then_given_up(large: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started = tmp_path / "started"
    dying = tmp_path / "python"
    dying.write_text(f"#!/bin/sh\necho x >> {started}\nkill -9 $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dying))
    with pytest.raises(PackageDamaged):
        inspect(large, filename=large.name)
    assert started.read_text().count("x") == pool.ATTEMPTS


def test_when_all_readers_are_busy_the_answer_is_to_come_back(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = threading.BoundedSemaphore(1)
    busy.acquire()
    monkeypatch.setattr(pool, "_readers", busy)
    monkeypatch.setattr(pool, "WAIT_FOR_A_READER_SECONDS", 0.01)
    with pytest.raises(Unavailable) as answer:
        inspect(large, filename=large.name)
    assert "Retry-After" in answer.value.headers


def test_a_reader_knows_neither_the_hubs_secrets_nor_django(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}
    run = subprocess.run

    def spy(*args: object, **kwargs: object) -> object:
        seen.update(kwargs["env"])  # type: ignore[call-overload]
        return run(*args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", spy)
    monkeypatch.setenv("CONDAHUB_SECRET_KEY", "hush")
    inspect(large, filename=large.name)
    assert "hush" not in seen.values()
    code = "import condahub.packages.child, sys; print([name for name in sys.modules if name.split('.')[0] in ('django', 'rattler')])"
    loaded = run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **seen}, check=True)
    assert loaded.stdout.strip() == "[]"


def test_every_refusal_has_a_code_of_its_own() -> None:
    kinds: list[type[BadPackage]] = [BadPackage, *BadPackage.__subclasses__()]
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes)
