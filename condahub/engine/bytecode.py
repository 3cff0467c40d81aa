"""Compiles a prefix's Python files with its own python, confined, so that the same files give the same bytes anywhere."""

from __future__ import annotations

import glob
import os
import shutil
import stat
import subprocess
import tempfile
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
    """Write the .pyc files (PEP 552, unchecked hash) of lib/python3*/; files that are no valid Python are passed over.

    The prefix's python is its owner's code: it runs with no network and no environment, reads the prefix and writes to a
    folder of its own, from where the .pyc files are moved; most of the prefix's files are other environments' too. Where
    nothing can hold it, nothing is compiled and the answer says so. Raises CompileFailed.
    """
    prefix = Path(request.prefix)
    python = prefix / "bin" / "python"
    libraries = sorted(path for path in prefix.glob("lib/python3*") if _is_own(prefix, path))
    if not python.exists() or not libraries:
        return CompileAnswer(skipped="There is no Python in the environment.")
    written = Path(tempfile.mkdtemp(prefix=".bytecode-", dir=prefix.parent))
    try:
        held = Confinement("", ()) if request.trusted else confinement(readable=[prefix], writable=[written])
        if held is None:
            return CompileAnswer(skipped="Nothing on this machine can confine the environment's python.")
        files = [path for library in libraries for path in _sources(library)]
        shares = [files[number::SHARES] for number in range(SHARES)]
        done = 0
        with ThreadPoolExecutor(max(1, request.workers), thread_name_prefix="compile") as pool:
            for count in pool.map(lambda share: _compile(held, python, prefix, written, share), shares):
                done += count
                say(Progress("compile", done, len(files), "files"))
        return CompileAnswer(compiled=sum(_take(path, written) for path in files), confined_by=held.name)
    finally:
        shutil.rmtree(written, ignore_errors=True)


def _is_own(prefix: Path, folder: Path) -> bool:
    """Whether it is a folder of the prefix, and no link on the way leads out of it: what is compiled is written there from here."""
    return folder.is_dir() and Path(os.path.realpath(folder)) == Path(os.path.realpath(prefix)) / folder.relative_to(prefix)


def _sources(library: Path) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(library):
        folders.sort()
        found += [Path(parent, name) for name in sorted(names) if name.endswith(".py") and name.isprintable()]
    return found


def _compile(held: Confinement, python: Path, prefix: Path, written: Path, share: Sequence[Path]) -> int:
    argv = [str(python), "-B", "-s", "-S", "-X", f"pycache_prefix={written}", "-m", "compileall", "-qq", "-j", "1"]
    # Without the prefix in it, the code says where it lies relative to the environment; importing puts the real path in.
    argv += ["--invalidation-mode", "unchecked-hash", "-s", str(prefix), "-i", "-"]
    names = "".join(f"{path}\n" for path in share)
    done = subprocess.run(held.argv(argv), input=names.encode(), env=ENVIRONMENT, cwd=prefix, capture_output=True, check=False)
    # 1 says that some file could not be compiled: packages bring files that are not meant to be.
    if done.returncode not in (0, 1):
        raise CompileFailed("The environment's python can't compile its files.", hint=done.stderr[-1000:].decode(errors="replace"))
    return len(share)


def _take(source: Path, written: Path) -> int:
    """Move what was compiled of one file to where python looks for it; how many files that was."""
    taken = 0
    for compiled in sorted((written / source.parent.relative_to(source.anchor)).glob(f"{glob.escape(source.stem)}.cpython-*.pyc")):
        status = compiled.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            continue
        folder = source.parent / "__pycache__"
        if folder.is_symlink():
            return 0
        folder.mkdir(exist_ok=True)
        compiled.chmod(0o644)
        compiled.replace(folder / compiled.name)
        taken += 1
    return taken
