"""The peer of a build: py-rattler alone, solving and installing in one process; prints the seconds that the two took together.

`python -m benchmarks.bare_build <channel> <cache> <prefix> <spec>...`
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import rattler
from rattler import Channel, Gateway


async def build(channel: str, cache: Path, prefix: Path, specs: list[str]) -> float:
    """Seconds from the question to the linked prefix."""
    begun = time.monotonic()
    gateway = Gateway(cache_dir=cache / "index")
    records = await rattler.solve(
        sources=[Channel(channel)], specs=specs, gateway=gateway, platforms=["linux-64", "noarch"], virtual_packages=[]
    )
    await rattler.install(records=records, target_prefix=prefix, cache_dir=cache / "packages", show_progress=False)
    return time.monotonic() - begun


def main() -> None:
    """Print the seconds."""
    channel, cache, prefix, *specs = sys.argv[1:]
    print(asyncio.run(build(channel, Path(cache), Path(prefix), specs)), flush=True)
    # py-rattler's threads now and then crash a process that ends in good order.
    os._exit(0)


if __name__ == "__main__":
    main()
