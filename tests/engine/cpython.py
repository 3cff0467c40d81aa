"""Makes a package of the Python that runs the tests, so that environments in them have a real interpreter."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from tests.engine.channels import Served

VERSION = platform.python_version()
SHORT = f"{sys.version_info.major}.{sys.version_info.minor}"
_LEFT_OUT = {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "turtledemo", "tkinter", "lib2to3", "ensurepip"}
_PLACEHOLDER_SCRIPT = b"#!%s/bin/python\nimport sys\nprint(sys.prefix)\n"


def add_python(channel: Served, placeholder: str) -> None:
    """Put `python` (with its library), `tool` (noarch, an entry point) and `where` (a script with a placeholder) into the channel."""
    base = Path(sys.base_prefix)
    library = f"lib/python{SHORT}"
    files = {f"bin/python{SHORT}": Path(os.path.realpath(sys.executable)).read_bytes()}
    for parent, folders, names in os.walk(base / library):
        folders[:] = [name for name in folders if name not in _LEFT_OUT and not name.startswith("config-")]
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not name.endswith((".pyc", ".a", ".o")):
                files[path.relative_to(base).as_posix()] = path.read_bytes()
    files[f"{library}/site-packages/README.txt"] = b"packages\n"
    links = {"bin/python": f"python{SHORT}", "bin/python3": f"python{SHORT}"}
    channel.add("python", VERSION, subdir="linux-64", files=files, links=links)
    tool = b"def main():\n    import sys, json\n    print('tool in', sys.prefix)\n"
    channel.add(
        "tool", noarch="python", depends=["python"], files={"site-packages/tool/__init__.py": tool}, entry_points=["tool = tool:main"]
    )
    script = _PLACEHOLDER_SCRIPT % placeholder.encode()
    configuration = f"root = {placeholder}/share\n".encode()
    binary = b"\x7fELF\x00" + placeholder.encode() + b"/etc\x00" + placeholder.encode() + b":" + placeholder.encode() + b"/x\x00end\x00"
    channel.add_relocatable(
        "where",
        {"bin/where": (script, "text"), "etc/where.conf": (configuration, "text"), "lib/where.bin": (binary, "binary")},
        depends=["python"],
    )
