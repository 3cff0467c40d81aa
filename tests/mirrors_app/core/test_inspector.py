"""Packages are read beside the download, and one that ends its reader does not end the run."""

from __future__ import annotations

import asyncio
from pathlib import Path

from condahub.errors import HubError
from condahub.packages.reader import PackageInfo
from mirrors_app.core.inspector import WORTH_A_CHILD_FILES, Inspector, Item
from tests.makers import make_package


class Lying:
    sha256 = md5 = ""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, path.stat().st_size

    def write(self, chunk: bytes, /) -> None:
        raise AssertionError("it is whole")

    def close(self) -> None: ...


def items(tmp_path: Path) -> list[Item]:
    good = make_package(tmp_path, "good")
    bad = tmp_path / "bad-1.0-0.conda"
    bad.write_bytes(good.read_bytes()[:-30])
    large = make_package(tmp_path, "large", files={"share/zeros": b"\0" * 80_000_000})
    return [Item(Lying(path), path.name) for path in (good, bad, large)]


def judge(found: list[PackageInfo | HubError]) -> list[str]:
    return [one.filename.name if isinstance(one, PackageInfo) else type(one).__name__ for one in found]


def test_with_and_without_a_child_the_judgement_is_the_same(tmp_path: Path) -> None:
    async def ask(files: int) -> list[PackageInfo | HubError]:
        async with Inspector(files) as inspector:
            return await inspector.inspect(items(tmp_path))

    few, many = asyncio.run(ask(1)), asyncio.run(ask(WORTH_A_CHILD_FILES))
    assert judge(few) == judge(many)
    assert judge(few)[0] == "good"
    assert judge(few)[1].startswith("Package")


def test_a_reader_that_is_killed_is_done_without(tmp_path: Path) -> None:
    async def ask() -> tuple[list[PackageInfo | HubError], list[PackageInfo | HubError]]:
        async with Inspector(WORTH_A_CHILD_FILES) as inspector:
            first = await inspector.inspect(items(tmp_path)[:1])
            assert inspector._child is not None
            inspector._child.kill()
            return first, await inspector.inspect(items(tmp_path)[:2])

    first, after = asyncio.run(ask())
    assert judge(first) == ["good"]
    assert judge(after)[0] == "good" and judge(after)[1].startswith("Package")
