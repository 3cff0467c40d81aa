"""Fetches the front-end files that the portal serves from npm, and writes down what they are: `python deploy/vendor_assets.py`.

Nothing is built: files are copied as they were published, and of the icons those that the pages use go into one SVG sprite.
Needs npm; the portal itself does not.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SERVED = ROOT / "condahub" / "static" / "vendor"
FOR_TESTS = ROOT / "tests" / "vendor"

ICONS = """
    activity alert-circle alert-triangle archive arrow-back-up arrow-down arrow-left arrow-right arrow-up arrows-diff ban bell
    book box brand-docker brand-github brand-gitlab brand-google building calendar calendar-time chart-bar check chevron-down
    chevron-left chevron-right chevron-up circle-check circle-plus circle-x clipboard clock cloud-download code copy cpu database
    device-desktop device-floppy download external-link eye eye-off file-diff file-text file-zip files filter fingerprint folder
    git-branch git-compare git-merge hand-stop history home inbox info-circle key language layout-dashboard link list-tree
    loader-2 lock login logout mail menu-2 message-circle minus moon notebook package packages pencil pin player-pause player-play
    player-stop plug plus puzzle refresh robot rotate route search send server settings share shield-check shield-lock sparkles
    stack-2 sun tag terminal terminal-2 trash upload user user-plus users users-group webhook world x
"""


class Asset(NamedTuple):
    """One npm package, and which of its files (path in the package, our name for it) are kept where."""

    package: str
    version: str
    files: Sequence[tuple[str, str]]
    folder: Path = SERVED


ASSETS = (
    Asset("@tabler/core", "1.6.1", [("dist/css/tabler.min.css", "tabler.min.css")]),
    Asset("htmx.org", "2.0.11", [("dist/htmx.min.js", "htmx.min.js"), ("LICENSE", "htmx.LICENSE")]),
    Asset("@tabler/icons", "3.51.0", [("LICENSE", "tabler-icons.LICENSE")]),
    Asset(
        "@conda-store/conda-store-ui",
        "2024.11.1",
        [
            ("dist/main.js", "main.js"),
            ("dist/main.css", "main.css"),
            ("LICENSE", "LICENSE"),
            ("dist/main.js.LICENSE.txt", "main.js.LICENSE.txt"),
        ],
        SERVED / "conda-store-ui",
    ),
    Asset("axe-core", "4.14.1", [("axe.min.js", "axe.min.js"), ("LICENSE", "axe.LICENSE")], FOR_TESTS),
)
MIT = """\
MIT License

Copyright (c) 2018-2026 The Tabler Authors

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
# A source map is fetched by a browser's tools alone, and would be looked for in vain.
# A page of the hub's asks no other server for anything: the browser's own font takes the place of such a one.
STRANGE_FONT = re.compile(rb"@font-face\{[^}]*url\(https?:[^}]*\}")
SOURCE_MAP = re.compile(rb"\n?/[/*]# sourceMappingURL=[^\n]*")


def main() -> None:
    """Fetch, copy, and write the two lists."""
    lines: dict[Path, list[str]] = {SERVED: [], FOR_TESTS: []}
    with tempfile.TemporaryDirectory() as scratch:
        licence = _copied_text(SERVED / "tabler.LICENSE")
        lines[SERVED].append(_row(licence, "@tabler/core", ASSETS[0].version, "MIT"))
        for asset in ASSETS:
            package = _fetched(asset, Path(scratch))
            about = json.loads((package / "package.json").read_text())
            written = [_copied(package / source, asset.folder / name) for source, name in asset.files]
            if asset.package == "@tabler/icons":
                written.append(_sprite(package, asset.folder / "icons.svg"))
            listed = next(folder for folder in lines if asset.folder.is_relative_to(folder))
            for path in written:
                lines[listed].append(_row(path, asset.package, asset.version, about["license"], below=listed))
            if listed == SERVED:
                _squeeze(path for path in written if path.suffix in (".css", ".js"))
    for folder, rows in lines.items():
        _write_list(folder, rows)


def _row(path: Path, package: str, version: str, licence: str, *, below: Path = SERVED) -> str:
    return (
        f"| {path.relative_to(below).as_posix()} | {package} | {version} | {licence} | `{hashlib.sha256(path.read_bytes()).hexdigest()}` |"
    )


def _copied_text(target: Path) -> Path:
    """The licence of Tabler, whose package on npm names it and does not hold it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(MIT)
    return target


def _squeeze(paths: Iterable[Path]) -> None:
    """Put the compressed form beside large files, where the server looks for it: without a collecting step nothing else makes it."""
    for path in paths:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), compresslevel=9, mtime=0))


def _fetched(asset: Asset, scratch: Path) -> Path:
    found = subprocess.run(
        ["npm", "pack", "--silent", f"{asset.package}@{asset.version}"], cwd=scratch, check=True, capture_output=True, text=True
    )
    folder = scratch / asset.package.replace("/", "+")
    with tarfile.open(scratch / found.stdout.split()[-1]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


def _copied(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(STRANGE_FONT.sub(b"", SOURCE_MAP.sub(b"", source.read_bytes())))
    return target


def _sprite(package: Path, target: Path) -> Path:
    symbols = []
    for name in ICONS.split():
        text = (package / "icons" / "outline" / f"{name}.svg").read_text()
        inner = re.sub(r"\s+", " ", re.search(r"<svg[^>]*>(.*)</svg>", text, re.DOTALL).group(1)).strip()  # type: ignore[union-attr]
        inner = re.sub(r'<path stroke="none" d="M0 0h24v24H0z" fill="none" ?/> ?', "", inner)
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{inner}</symbol>')
    target.write_text('<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n")
    return target


def _write_list(folder: Path, rows: list[str]) -> None:
    head = (
        "# Files of others\n\nCopied from npm by `python deploy/vendor_assets.py`, unchanged but for the comments that name source maps"
        " and for fonts of other servers;\n`icons.svg` holds the outline icons that the pages use; `.gz` is the same file compressed.\n\n"
        "| file | package | version | licence | sha256 |\n|---|---|---|---|---|\n"
    )
    (folder / "VENDORED.md").write_text(head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
