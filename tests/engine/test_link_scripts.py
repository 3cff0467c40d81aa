"""Scripts of packages: run once, in the sandbox, with conda's variables; what they wrote is the environment's, and nobody else's."""

from __future__ import annotations

import json
import os
import stat
import sys
import tarfile
from pathlib import Path

import pytest

from condahub.engine import bytecode
from condahub.engine.package_cache import package_folder
from condahub.engine.prefix import BY_SCRIPTS, place, remove, seal
from condahub.engine.protocol import Archive, ArchiveAnswer, Channel, LayOver, RunScripts, RunScriptsAnswer
from condahub.engine.runner import EngineFailed, run
from tests.engine.channels import PLACEHOLDER, Server
from tests.engine.conftest import TIMEOUT_SECONDS, Hub
from tests.parts import require_sandbox

pytestmark = [pytest.mark.real, pytest.mark.skipif(sys.platform != "linux", reason="environments are built on Linux")]


@pytest.fixture(autouse=True)
def works() -> None:
    require_sandbox()


def with_script(served: object, name: str, script: str, **more: object) -> None:
    """A package with a post-link script, and one file beside it."""
    files = {f"bin/.{name}-post-link.sh": f"#!/bin/bash\nset -e\n{script}\n".encode(), f"share/{name}": f"of {name}\n".encode()}
    served.add(name, files=files, **more)  # type: ignore[attr-defined]


class Build:
    """An environment on its way: linked, its scripts run, laid over, packed."""

    def __init__(self, hub: Hub, channels: list[Channel], *names: str) -> None:
        self.hub, self.channels = hub, channels
        self.lock = hub.solve(channels, *names)

    def link(self, key: str) -> Path:
        request = self.hub.request(self.lock, self.channels, key)
        run(request, timeout_seconds=TIMEOUT_SECONDS)
        return Path(request.staging)

    def scripts(self, staging: Path, key: str) -> RunScriptsAnswer:
        answer = run(
            RunScripts(
                lock=self.lock,
                platform="linux-64",
                staging=str(staging),
                prefix=str(self.hub.folder / "b" / key),
                overlay=str(self.hub.folder / f"{key}.tar"),
                seconds=60,
                memory_bytes=2**30,
                max_bytes=2**28,
            ),
            timeout_seconds=TIMEOUT_SECONDS,
        )
        assert isinstance(answer, RunScriptsAnswer)
        return answer

    def lay_over(self, staging: Path, key: str) -> None:
        run(LayOver(staging=str(staging), overlay=str(self.hub.folder / f"{key}.tar")), timeout_seconds=TIMEOUT_SECONDS)

    def packed(self, prefix: Path, baked: Path) -> ArchiveAnswer:
        target = self.hub.folder / f"{prefix.name}.tar.gz"
        answer = run(
            Archive(name="e", prefix=str(prefix), baked=str(baked), targets={"tar.gz": str(target)}, caches=(str(self.hub.cache("one")),)),
            timeout_seconds=TIMEOUT_SECONDS,
        )
        assert isinstance(answer, ArchiveAnswer)
        return answer


def tree(prefix: Path) -> dict[str, object]:
    """What is in a prefix: bytes, modes, where links lead, folders."""
    found: dict[str, object] = {}
    for path in sorted(prefix.rglob("*")):
        name = path.relative_to(prefix).as_posix()
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = "folder" if path.is_dir() else (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
    return found


def test_they_run_in_order_with_condas_variables_and_say_what_they_want_to_be_told(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    with_script(team, "base", 'echo base >> "$PREFIX/order"')
    said = 'echo top >> "$PREFIX/order"; env | sort > "$PREFIX/variables"; pwd; echo "Log in first." > "$PREFIX/.messages.txt"'
    with_script(team, "a-top", said, version="2.5", build_number=7, depends=["base"])
    build = Build(hub, [team.channel()], "a-top")
    staging = build.link("e1")
    answer = build.scripts(staging, "e1")
    assert [(one.path, one.message) for one in answer.ran] == [
        ("bin/.base-post-link.sh", ""),
        ("bin/.a-top-post-link.sh", "Log in first."),
    ]
    assert answer.ran[1].output == f"{hub.folder}/b/e1/bin\n" and not (staging / ".messages.txt").exists()
    assert (staging / "order").read_text() == "base\ntop\n"
    variables = dict(line.split("=", 1) for line in (staging / "variables").read_text().splitlines())
    prefix = str(hub.folder / "b" / "e1")
    assert {name: variables[name] for name in ("PREFIX", "ROOT_PREFIX", "PKG_NAME", "PKG_VERSION", "PKG_BUILDNUM")} == {
        "PREFIX": prefix,
        "ROOT_PREFIX": prefix,
        "PKG_NAME": "a-top",
        "PKG_VERSION": "2.5",
        "PKG_BUILDNUM": "7",
    }
    assert not any("condahub" in name.lower() or "token" in name.lower() for name in variables)


def test_a_script_that_edits_what_is_shared_changes_its_own_prefix_alone(server: Server, hub: Hub) -> None:
    """The package cache and the other environments that are linked from it have the same file, and the script is its owner."""
    team = server.channel("team")
    team.add("lib", files={"share/lib/made": b"as the package has it\n", "share/lib/other": b"other\n"})
    edits = 'f="$PREFIX/share/lib/made"; chmod 777 "$f"; echo evil >> "$f"; printf EVIL | dd of="$PREFIX/share/lib/other" conv=notrunc'
    with_script(team, "evil", f'chmod -R u+w "$PREFIX/share"; {edits}; truncate -s 0 "$PREFIX/share/evil"', depends=["lib"])
    channels = [team.channel()]
    victim, _ = hub.install(hub.solve(channels, "evil"), channels, "victim")
    before = tree(victim)
    build = Build(hub, channels, "evil")
    cached = [package_folder(record, [hub.cache("one")]) for record in build.lock.platform("linux-64").conda]
    caches = {folder: tree(folder) for folder in cached if folder is not None}
    staging = build.link("e1")
    assert os.path.samefile(staging / "share/lib/made", victim / "share/lib/made"), "the very same file, or this shows nothing"
    build.scripts(staging, "e1")
    assert (staging / "share/lib/made").read_text() == "as the package has it\nevil\n" and (staging / "share/evil").read_bytes() == b""
    assert (staging / "share/lib/other").read_bytes() == b"EVILr\n"
    assert tree(victim) == before and len(caches) == 2 and {folder: tree(folder) for folder in caches} == caches


def test_what_they_wrote_is_had_again_with_the_same_bytes(server: Server, hub: Hub) -> None:
    """Without running them again; and archives hold it, made of the one or the other."""
    team = server.channel("team")
    tool = {name: (f"#!/bin/sh\necho {PLACEHOLDER}\n".encode(), "text") for name in ("bin/tool", "etc/tool.conf")}
    team.add_relocatable("tool", tool)
    team.add("lib", files={"share/lib/made": b"made", "share/lib/gone": b"gone", "share/swap/file": b"file"}, links={"share/away": "lib"})
    work = """
        date +%N > "$PREFIX/share/now"; echo "root = $PREFIX" > "$PREFIX/etc/own.conf"; echo more >> "$PREFIX/etc/tool.conf"
        rm "$PREFIX/share/lib/gone" "$PREFIX/share/away"; rm -r "$PREFIX/share/swap"; ln -s lib "$PREFIX/share/swap"
        mkdir -p "$PREFIX/share/away" "$PREFIX/empty/er"; echo x > "$PREFIX/share/away/file"; ln "$PREFIX/share/now" "$PREFIX/share/twin"
    """
    with_script(team, "worker", work, depends=["lib", "tool"])
    build = Build(hub, [team.channel()], "worker")
    first = build.link("e1")
    answer = build.scripts(first, "e1")
    assert json.loads((first / BY_SCRIPTS).read_text())["ran"] == ["bin/.worker-post-link.sh"] and answer.total_bytes > 0
    prefix = hub.folder / "b" / "e1"
    seal(first)
    place(first, prefix)
    packed, whole = build.packed(prefix, prefix), tree(prefix)
    remove(prefix)
    second = build.link("e1")
    assert os.readlink(second / "share" / "away") == "lib"
    build.lay_over(second, "e1")
    seal(second)
    assert tree(second) == whole
    assert build.packed(second, prefix).sha256 == packed.sha256
    with tarfile.open(hub.folder / f"{second.name}.tar.gz") as archive:
        names = set(archive.getnames())
        assert not (second / "share" / "lib" / "file").exists()
        assert {"share/now", "share/away/file", "etc/own.conf", BY_SCRIPTS} <= names and "share/lib/gone" not in names
        conf = archive.extractfile("etc/tool.conf")
        assert conf is not None and conf.read().endswith(b"\nmore\n")


def test_a_script_that_fails_ends_the_build_with_what_it_said(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    with_script(team, "broken", "echo why it failed >&2; exit 7")
    build = Build(hub, [team.channel()], "broken")
    with pytest.raises(EngineFailed) as refused:
        build.scripts(build.link("e1"), "e1")
    assert refused.value.code == "link_script_failed" and refused.value.status == 422
    assert "broken-1.0-0 failed with the exit status 7" in refused.value.detail and "why it failed" in refused.value.hint


def test_nothing_that_acts_for_the_hub_is_left_behind(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    with_script(team, "rights", 'cp /bin/true "$PREFIX/bin/as-the-hub"; chmod 6777 "$PREFIX/bin/as-the-hub"; chmod 0 "$PREFIX/share"')
    with_script(team, "meta", 'echo {} > "$PREFIX/conda-meta/own-1-0.json"')
    with_script(team, "pipe", 'mkfifo "$PREFIX/share/pipe"')
    build = Build(hub, [team.channel()], "rights")
    staging = build.link("e1")
    build.scripts(staging, "e1")
    assert stat.S_IMODE((staging / "bin" / "as-the-hub").stat().st_mode) == 0o755
    assert stat.S_IMODE((staging / "share").stat().st_mode) == 0o755
    for name, says in (("meta", "Read-only file system"), ("pipe", "")):
        other = Build(hub, [team.channel()], name)
        with pytest.raises(EngineFailed) as refused:
            other.scripts(other.link(name), name)
        assert refused.value.code == "link_script_failed" and says in refused.value.hint


def test_what_it_left_is_removed_however_deep_it_is(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    with_script(team, "deep", "d=$(printf 'd/%.0s' $(seq 1200)); mkdir -p $PREFIX/$d; chmod 0 $PREFIX/d/d")
    build = Build(hub, [team.channel()], "deep")
    staging = build.link("e1")
    with pytest.raises(EngineFailed) as refused:
        build.scripts(staging, "e1")
    assert refused.value.code == "link_script_failed" and "too deep" in refused.value.detail
    remove(staging)
    assert not list(staging.parent.iterdir())


def test_a_link_that_a_script_left_leads_the_hub_nowhere(server: Server, hub: Hub, tmp_path: Path) -> None:
    """What the hub itself reads and writes there afterwards stays in the prefix."""
    team = server.channel("team")
    outside = tmp_path / "outside"
    (outside / "python3.9").mkdir(parents=True)
    (outside / "told").write_text("the hub's")
    work = f"""
        mkdir -p "$PREFIX/lib/python3.11"; echo 1 > "$PREFIX/lib/python3.11/mod.py"; ln -s {outside} "$PREFIX/lib/python3.11/__pycache__"
        mkdir "$PREFIX/other"; ln -s {outside} "$PREFIX/other/lib"; ln -s {outside}/told "$PREFIX/.messages.txt"
    """
    with_script(team, "linker", work)
    build = Build(hub, [team.channel()], "linker")
    staging = build.link("e1")
    assert build.scripts(staging, "e1").ran[0].message == ""
    source = staging / "lib" / "python3.11" / "mod.py"
    compiled = tmp_path / "written" / source.relative_to("/").with_name("mod.cpython-311.pyc")
    compiled.parent.mkdir(parents=True)
    compiled.write_bytes(b"bytecode")
    assert bytecode._take(source, tmp_path / "written") == 0
    assert bytecode._is_own(staging, staging / "lib" / "python3.11")
    assert not bytecode._is_own(staging / "other", staging / "other" / "lib" / "python3.9")
    assert sorted(path.name for path in outside.iterdir()) == ["python3.9", "told"]
