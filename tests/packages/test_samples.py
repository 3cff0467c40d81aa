"""Real packages are taken and hostile ones refused, where a folder of samples stands beside the project."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from condahub.errors import HubError
from condahub.packages.reader import read_package

SAMPLES = Path(os.environ.get("CONDAHUB_TEST_SAMPLES") or Path(__file__).parents[2].parent / "shared" / "data")

# Real files that no client can install, and why.
BROKEN = {
    "zlib-1.2.11-h7b6447c_3.conda": "package_member",  # its symbolic links have no target
    "zlib-1.2.11-h1de35cc_3.conda": "package_member",
    "test-package-0.1-0_copy.tar.bz2": "package_identity",  # renamed: its index.json says test-package-0.1-0
}


def samples(kind: str) -> Path:
    folder = SAMPLES / kind
    if not folder.is_dir():
        pytest.skip(f"no samples at {folder}; set CONDAHUB_TEST_SAMPLES to a folder that holds {kind}/")
    return folder


def verdict(path: Path) -> str:
    try:
        read_package(path, filename=path.name)
    except HubError as refusal:
        return refusal.code if 400 <= refusal.status < 500 else f"status {refusal.status}"
    return "accepted"


def test_real_packages_are_taken() -> None:
    paths = [path for path in samples("packages").rglob("*") if path.name.endswith((".conda", ".tar.bz2"))]
    wrong = {path.name: said for path in paths if (said := verdict(path)) != BROKEN.get(path.name, "accepted")}
    assert paths
    assert wrong == {}


def test_hostile_packages_are_judged_as_expected() -> None:
    folder = samples("hostile")
    expected = json.loads((folder / "hostile.json").read_bytes())
    said = {name: verdict(folder / name) for name in expected}
    wrong = {
        name: (sample["what"], said[name])
        for name, sample in expected.items()
        if sample["verdict"] != "either" and (sample["verdict"] == "accept") != (said[name] == "accepted")
    }
    assert wrong == {}
