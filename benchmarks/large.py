"""Large files: how fast they leave, as a share of nginx sending the same file."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from benchmarks.load import in_turn, mib_a_second
from benchmarks.processes import page_cache_is_warm
from benchmarks.report import Row, noted, share
from benchmarks.servers import data_process, nginx
from benchmarks.workshop import Workshop

TITLE = "large files, one at a time"
MIB = 1024**2
LARGE_BYTES = 256 * MIB
TIMES = 3


def run(shop: Workshop) -> Iterator[Row]:
    """The same file from nginx alone, from the embedded server, and from the hub behind nginx."""
    data = shop.folder / "large"
    shop.say("publishing a large package")
    made = shop.inside(data, "serving", "1", str(LARGE_BYTES))
    environment, log = shop.environment(data), shop.folder / "servers.log"
    blob = data / "store" / made["large_blob"]
    page_cache_is_warm(blob)
    with (
        data_process(environment, log) as embedded,
        data_process(environment, log, CONDAHUB_SERVE_MODE="accel") as behind,
        nginx(shop.folder, upstream=urlsplit(behind).netloc, files=blob.parent, store=data / "store") as front,
    ):
        found = in_turn(
            {
                "nginx": lambda: mib_a_second(f"{front}/alone/{blob.name}", TIMES),
                "embedded": lambda: mib_a_second(embedded + made["large"], TIMES),
                "behind": lambda: mib_a_second(front + made["large"], TIMES),
            },
            shop.rounds,
        )
    yield noted(f"nginx alone, a file of {blob.stat().st_size / MIB:,.0f} MiB", f"{found['nginx']:,.0f} MiB/s")
    yield share("the embedded server", found, "embedded", "nginx", 0.65, "MiB/s")
    yield share("the hub behind nginx", found, "behind", "nginx", 0.9, "MiB/s")
