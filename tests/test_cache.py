"""The shared cache: in Redis, and no failure of anybody's request when that is not there; else in the database, for all processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import time_machine
from allauth.mfa.totp.internal import auth as totp
from redis.exceptions import ConnectionError as RedisConnectionError

from condahub.accounts import services
from condahub.accounts.policy import SYSTEM
from condahub.accounts.signin import patience
from condahub.cache import ForgivingRedisCache, SharedCache
from condahub.errors import Throttled
from condahub.ops.supervise import any_free_port


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = any_free_port()
    program = Path(sys.executable).with_name("redis-server")
    server = subprocess.Popen([program, "--port", str(port), "--save", "", "--dir", tmp_path], stdout=subprocess.DEVNULL)
    yield f"redis://127.0.0.1:{port}/0", server
    server.kill()
    server.wait()


@pytest.mark.real
def test_a_lost_redis_forgets_and_never_fails(redis: tuple[str, subprocess.Popen[bytes]]) -> None:
    url, server = redis
    cache = ForgivingRedisCache(url, {})
    for _ in range(100):
        try:
            cache._cache.get_client().ping()
            break
        except RedisConnectionError:
            time.sleep(0.05)
    assert cache.add("guesses", 1, 60) and not cache.add("guesses", 1, 60)
    assert cache.incr("guesses") == 2 and cache.get("guesses") == 2
    server.kill()
    server.wait()
    assert cache.get("guesses", "nothing") == "nothing"
    cache.set("guesses", 1)
    assert cache.incr("guesses") == 1 and cache.add("guesses", 1) and not cache.delete("guesses")


@pytest.fixture
def processes() -> tuple[SharedCache, SharedCache]:
    """The cache as two processes of an embedded hub have it: they share the table alone."""
    from condahub.settings.cache import CACHES

    told = CACHES["default"]
    return SharedCache(told["LOCATION"], told), SharedCache(told["LOCATION"], told)


@pytest.mark.django_db
def test_without_redis_what_one_process_counts_the_other_knows(processes: tuple[SharedCache, SharedCache]) -> None:
    one, other = processes
    assert one.add("guesses", 1, 600) and not other.add("guesses", 1, 600)
    assert other.incr("guesses") == 2 and one.incr("guesses") == 3 and other.get("guesses") == 3
    with pytest.raises(ValueError, match="not found"):
        other.incr("never")


@pytest.mark.django_db
def test_counting_does_not_make_the_wait_longer(processes: tuple[SharedCache, SharedCache]) -> None:
    one, other = processes
    with time_machine.travel("2026-03-01T12:00:00Z", tick=False):
        one.add("guesses", 1, 300)
    with time_machine.travel("2026-03-01T12:04:00Z", tick=False):
        assert other.incr("guesses") == 2
    with time_machine.travel("2026-03-01T12:05:02Z", tick=False):
        assert one.get("guesses") is None


@pytest.mark.django_db
def test_failed_sign_ins_count_together(processes: tuple[SharedCache, SharedCache], monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(patience.MAX_FAILURES_A_NAME):
        monkeypatch.setattr(patience, "cache", processes[number % 2])
        patience.require_patience("ada", "192.0.2.7")
        patience.note_failure("ada", "192.0.2.7")
    for process in processes:
        monkeypatch.setattr(patience, "cache", process)
        with pytest.raises(Throttled):
            patience.require_patience("ada", "192.0.2.7")
        patience.require_patience("ada", "192.0.2.8")


@pytest.mark.django_db
def test_a_code_is_good_once_in_all_processes(processes: tuple[SharedCache, SharedCache], monkeypatch: pytest.MonkeyPatch) -> None:
    user = services.create_user(actor=SYSTEM, username="ada")
    secret = totp.generate_totp_secret()
    held = totp.TOTP.activate(user, secret)
    with time_machine.travel("2026-03-01T12:00:10Z", tick=False):
        code = totp.format_hotp_value(totp.hotp_value(secret, max(totp.yield_hotp_counters_from_time())))
        monkeypatch.setattr(totp, "cache", processes[0])
        assert held.validate_code(code)
        monkeypatch.setattr(totp, "cache", processes[1])
        assert not held.validate_code(code)
    # Clocks may differ by a period: it was taken half a minute early, and would be taken still.
    with time_machine.travel("2026-03-01T12:01:05Z", tick=False):
        assert totp.validate_totp_code(secret, code)
        assert not held.validate_code(code)
