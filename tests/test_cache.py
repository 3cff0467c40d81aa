"""The shared cache: remembered together while Redis is there, and no failure of anybody's request when it is not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from condahub.cache import ForgivingRedisCache
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
