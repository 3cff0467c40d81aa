"""Compiles a prefix's Python files with its own python, confined, so that the same files give the same bytes anywhere."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from condahub.engine.confine import Confinement, confinement
from condahub.engine.protocol import Compile, CompileAnswer, Progress
from condahub.errors import HubError

# Always as many shares, whoever does them: what one process has compiled before can show in what it writes next.
SHARES = 8
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "HOME": "/nonexistent"}

Say = Callable[[Progress], None]


class CompileFailed(HubError):
    code = "compile_failed"
    status = 422


def compile_prefix(request: Compile, say: Say) -> CompileAnswer:
    """Write the .pyc files (PEP 552, unchecked hash) of lib/python*/; files that are no valid Python are passed over.

    The prefix's python is its owner's code: it runs with no network, no environment and nothing to write to but the
    prefix. Where nothing can hold it, nothing is compiled and the answer says so. Raises CompileFailed.
    """
    prefix = Path(request.prefix)
    python = prefix / "bin" / "python"
    libraries = sorted(path for path in prefix.glob("lib/python3*") if path.is_dir() and not path.is_symlink())
    if not python.exists() or not libraries:
        return CompileAnswer(skipped="There is no Python in the environment.")
    held = confinement(readable=[prefix], writable=[prefix])
    if held is None:
        return CompileAnswer(skipped="Nothing on this machine can confine the environment's python.")
    files = [path for library in libraries for path in _sources(library)]
    shares = [files[number::SHARES] for number in range(SHARES)]
    done = 0
    with ThreadPoolExecutor(max(1, request.workers), thread_name_prefix="compile") as pool:
        for share in pool.map(lambda share: _compile(held, python, prefix, share), shares):
            done += share
            say(Progress("compile", done, len(files), "files"))
    return CompileAnswer(compiled=sum(1 for path in files if _has_bytecode(path)), confined_by=held.name)


def _sources(library: Path) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(library):
        folders.sort()
        found += [Path(parent, name) for name in sorted(names) if name.endswith(".py")]
    return found


def _compile(held: Confinement, python: Path, prefix: Path, share: Sequence[Path]) -> int:
    argv = [str(python), "-s", "-S", "-m", "compileall", "-qq", "-j", "1", "--invalidation-mode", "unchecked-hash"]
    # Without the prefix in it, the code says where it lies relative to the environment; importing puts the real path in.
    argv += ["-s", str(prefix), "-i", "-"]
    names = "".join(f"{path}\n" for path in share if "\n" not in str(path))
    done = subprocess.run(held.argv(argv), input=names.encode(), env=ENVIRONMENT, cwd=prefix, capture_output=True, check=False)
    # 1 says that some file could not be compiled: packages bring files that are not meant to be.
    if done.returncode not in (0, 1):
        raise CompileFailed("The environment's python can't compile its files.", hint=done.stderr[-1000:].decode(errors="replace"))
    return len(share)


def _has_bytecode(source: Path) -> bool:
    return any(source.parent.glob(f"__pycache__/{source.stem}.*.pyc"))


