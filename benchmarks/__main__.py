"""`make bench`: measures the hub and prints, section by section, what was measured, what it must be, and whether it is.

`python -m benchmarks publish quetz` runs those sections alone, `--quick` a small version of each, and only `--write FILE` writes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import (
    archive,
    builds,
    environments,
    ingest,
    large,
    lazy,
    memory,
    mirror,
    mirror_channel,
    policies,
    portal,
    publish,
    quetz,
    serving,
    virtual,
)
from benchmarks.load import NoWrk
from benchmarks.report import Row, as_markdown, as_text, machine, summary
from benchmarks.servers import NoNginx
from benchmarks.workshop import Workshop

SECTIONS = {
    "publish": publish,
    "serving": serving,
    "large": large,
    "memory": memory,
    "quetz": quetz,
    "ingest": ingest,
    "policies": policies,
    "lazy": lazy,
    "mirror": mirror,
    "mirror_channel": mirror_channel,
    "archive": archive,
    "builds": builds,
    "environments": environments,
    "virtual": virtual,
    "portal": portal,
}


def main() -> int:
    """Run the chosen sections; 0 whatever was missed, for a number is a finding and no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"any of {', '.join(SECTIONS)}; all of them unless said")
    parser.add_argument("--quick", action="store_true", help="smaller and shorter; what needs its full size has no verdict")
    parser.add_argument("--postgres", action="store_true", help="mirror_channel on a PostgreSQL, of a wheel or in CONDAHUB_TEST_PG_URL")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables as Markdown too")
    chosen = parser.parse_args()
    if unknown := sorted(set(chosen.sections) - SECTIONS.keys()):
        parser.error(f"there is no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    found: list[tuple[str, list[Row]]] = []
    print(f"{machine()}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="condahub-bench-") as folder:
        shop = Workshop(Path(folder), chosen.quick, postgres=chosen.postgres)
        for name, section in SECTIONS.items():
            if not chosen.sections or name in chosen.sections:
                found.append((section.TITLE, _run(name, shop)))
    words, _ = summary(found)
    print(words)
    if chosen.write:
        command = " ".join(
            ["python -m benchmarks", *chosen.sections, *(["--quick"] if chosen.quick else []), *(["--postgres"] if chosen.postgres else [])]
        )
        chosen.write.write_text(as_markdown(found, command=command))
    return 0


def _run(name: str, shop: Workshop) -> list[Row]:
    section = SECTIONS[name]
    begun = time.monotonic()
    rows: list[Row] = []
    try:
        rows.extend(section.run(shop))
    except (NoWrk, NoNginx) as missing:
        rows.append(Row(f"not measured: {missing}", "", met=False))
    print(as_text(section.TITLE, rows), flush=True)
    shop.say(f"{name} took {time.monotonic() - begun:.0f} s")
    return rows


if __name__ == "__main__":
    sys.exit(main())
