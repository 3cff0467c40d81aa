"""An R environment: packages laid out as r-base and r-* are, none of them Python, in the folder and unpacked elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from condahub.engine.protocol import Archive, ArchiveAnswer
from condahub.engine.runner import run
from tests.engine.channels import PLACEHOLDER, Server
from tests.engine.conftest import TIMEOUT_SECONDS, Hub, output
from tests.engine.r_language import BINARY, add_r

pytestmark = [pytest.mark.real, pytest.mark.skipif(sys.platform != "linux", reason="environments are built on Linux")]


def test_r_runs_in_the_folder_and_wherever_its_archive_is_unpacked(server: Server, hub: Hub, tmp_path: Path) -> None:
    add_r(server.channel("main"))
    channels = [server.served["main"].channel()]
    prefix, answer = hub.install(hub.solve(channels, "r-jsonlite"), channels, "r1")
    assert answer.packages == 2 and not answer.link_scripts
    assert output(prefix / "bin" / "R", "jsonlite").split() == [f"{prefix}/lib/R", "1.8"]
    packed = tmp_path / "r.tar.gz"
    request = Archive(
        name="r", prefix=str(prefix), baked=str(prefix), targets={"tar.gz": str(packed)}, caches=(str(hub.cache("one")),), workers=1
    )
    assert isinstance(run(request, timeout_seconds=TIMEOUT_SECONDS), ArchiveAnswer)
    root = tmp_path / "elsewhere"
    other = tmp_path / "other"
    for folder in (root, other):
        folder.mkdir()
        subprocess.run(["tar", "-xzf", packed, "-C", folder], check=True)
    output(root / "bin" / "conda-unpack")
    said = output("sh", "-c", f'cd "{root}" && . bin/activate && R jsonlite')
    assert said == f"{root}/lib/R 1.8 {root}/lib/R/site-library\n"
    binary = (root / "bin" / "Rscript").read_bytes()
    assert binary.startswith(b"\x7fELF\x00%s/lib/R\x00" % str(root).encode()) and len(binary) == len(BINARY) - 2 + len(PLACEHOLDER)
    assert (root / "lib" / "R" / "etc" / "Renviron").read_text() == f"R_LIBS_USER={root}/lib/R/library\n"
    if perl := shutil.which("perl"):
        # As on a machine without any Python.
        programs = tmp_path / "programs"
        programs.mkdir()
        for program in (perl, shutil.which("dirname"), shutil.which("sh")):
            (programs / Path(str(program)).name).symlink_to(str(program))
        output("/usr/bin/env", f"PATH={programs}", other / "bin" / "conda-unpack", "--prefix", root)
        assert all((root / name).read_bytes() == (other / name).read_bytes() for name in ("bin/R", "bin/Rscript", "lib/R/etc/Renviron"))
        assert os.access(other / "bin" / "R", os.X_OK)
