"""The remote half works where only the base package is installed: no Django on its way, nothing imported that is not declared."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from condahub.ops.roles import HOME

SERVER_ONLY = ("django", "celery", "rest_framework", "environ", "kombu", "structlog", "gunicorn", "psycopg", "boto3")
IMPORT_NAMES = {"PyYAML": "yaml", "py-rattler": "rattler"}

# Everything a person's command may load: each module of the remote half, then the help of everything, then the listing of it.
_LOAD = """
import importlib, json, pkgutil, sys
for name in {blocked!r}:
    sys.modules[name] = None  # importing it raises ImportError
from condahub.cli import main, remote
for module in pkgutil.iter_modules(remote.__path__, remote.__name__ + "."):
    importlib.import_module(module.name)
import condahub.cli.server
for name in main._COMMANDS:
    main.cli.get_command(None, name)
print(json.dumps({{name: module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "condahub" and module}}))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, Path]:
    script = _LOAD.format(blocked=SERVER_ONLY)
    done = subprocess.run([sys.executable, "-c", script], cwd=HOME, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: Path(file) for name, file in json.loads(done.stdout).items()}


def test_the_remote_half_loads_without_anything_of_the_server(loaded: dict[str, Path]) -> None:
    assert "condahub.cli.remote.upload" in loaded
    assert not [name for name in loaded if name.startswith(("condahub.settings", "condahub.jobs", "condahub.storage"))]


def test_the_remote_half_imports_only_what_the_base_package_declares(loaded: dict[str, Path]) -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[^A-Za-z0-9_.-]", line)[0] for line in project["dependencies"]}
    allowed = {IMPORT_NAMES.get(name, name) for name in declared} | {"condahub"} | set(sys.stdlib_module_names)
    for name, file in loaded.items():
        if name == "condahub.cli.server":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            else:
                continue
            for imported in names:
                assert imported.partition(".")[0] in allowed, f"{name} imports {imported}"


@pytest.mark.parametrize("arguments", [["admin", "doctor"], ["server", "web"], ["admin", "--help"]])
def test_where_the_server_is_not_installed_its_commands_say_how_to_get_it(arguments: list[str]) -> None:
    script = f"""
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {SERVER_ONLY!r} else find(name, package)
sys.argv = ["condahub", *{arguments!r}]
from condahub.cli.main import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=HOME, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "checkout (.venv/bin/condahub)" in done.stderr and "Traceback" not in done.stderr


def test_the_command_starts_quickly_and_ends_with_a_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "condahub.cli", "whoami", "--hub", "http://127.0.0.1:9"],
        cwd=HOME,
        capture_output=True,
        text=True,
        check=False,
        env={"CONDAHUB_CONFIG": "/nonexistent/config", "PATH": "/usr/bin"},
    )
    assert done.returncode == 3 and "does not answer" in done.stderr and "Traceback" not in done.stderr
