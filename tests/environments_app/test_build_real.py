"""A specification that is posted becomes an environment that runs, whatever happens on the way."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.channels import PLACEHOLDER, Served
from tests.engine.cpython import add_python
from tests.environments_app.site import ENDED, Site, output, site
from tests.parts import require_sandbox

pytestmark = pytest.mark.real

PYTHON = "channels: [forge]\ndependencies:\n- python\n- tool\nvariables: {GREETING: hello}\n"
# A phase of a small build may be over before it is seen.
ATTEMPTS = 10
SMALL = "channels: [forge]\ndependencies:\n- small\n"


@pytest.fixture(scope="module")
def hub() -> Iterator[Site]:
    with site() as running:
        running.channel("forge", visibility="public")
        made = Served("forge", running.packages / "forge")
        add_python(made, PLACEHOLDER)
        made.add("small", files={"share/small.txt": b"small"})
        made.add("needs-old", depends=["small <1"])
        for path in sorted(made.folder.glob("*/*.conda")):
            running.push("forge", path, path.parent.name)
        yield running


def test_a_posted_specification_becomes_a_python_that_runs(hub: Site) -> None:
    build = hub.made("analysis", PYTHON)
    folder = hub.folder("analysis")
    assert output(folder / "bin" / "tool").strip() == f"tool in {os.path.realpath(folder)}"
    assert os.readlink(folder) == os.readlink(hub.folder("analysis-1")) and (folder / "conda-meta" / "history").is_file()
    assert len(os.fsencode(os.path.realpath(folder))) <= 80
    assert set(build["timings"]) == {"solve", "fetch", "link", "compile"} and build["package_count"] == 2
    assert list(folder.glob("lib/python3*/__pycache__/os.*.pyc")), "compiled at build"
    assert not os.stat(os.path.realpath(folder)).st_mode & 0o222 and hub.leftovers() == []
    log = hub.log_of(build)
    assert "solved in" in log and "Python files compiled" in log
    packages = hub.do("GET", "organizations/acme/environments/analysis/builds/1/packages")["results"]
    assert {row["name"]: row["requested"] for row in packages} == {"python": "python", "tool": "tool"}
    assert hub.do("GET", "organizations/acme/environments/analysis")["current_build"]["number"] == 1


def test_the_same_packages_are_the_same_folder_and_a_deleted_build_leaves_none(hub: Site) -> None:
    hub.made("again", SMALL)
    second = hub.made("again", SMALL + "description: other words\n")
    assert os.readlink(hub.folder("again")) == os.readlink(hub.folder("again-1")) == os.readlink(hub.folder("again-2"))
    assert second["number"] == 2 and "same packages as build 1" in hub.log_of(second)
    third = hub.made("again", SMALL + "variables: {A: '1'}\n")
    own = Path(os.path.realpath(hub.folder("again-3")))
    assert third["lock_sha256"] == second["lock_sha256"] and own != Path(os.path.realpath(hub.folder("again-2")))
    hub.do("POST", "organizations/acme/environments/again/rollback")
    hub.do("DELETE", "organizations/acme/environments/again/builds/3")
    deadline = time.monotonic() + 90
    while own.exists() or os.path.lexists(hub.folder("again-3")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert os.path.realpath(hub.folder("again")) == os.path.realpath(hub.folder("again-2"))


def everything(folder: Path) -> dict[str, object]:
    """What is in a folder: where links lead, bytes and modes of files."""
    real = Path(os.path.realpath(folder))
    return {
        str(path.relative_to(real)): os.readlink(path) if path.is_symlink() else (path.is_dir() or path.read_bytes(), path.stat().st_mode)
        for path in sorted(real.rglob("*"))
    }


def test_scripts_run_once_where_it_allows_them_and_what_they_wrote_is_the_environment_s(hub: Site) -> None:
    require_sandbox()
    script = b'date +%N > "$PREFIX/share/when"; echo more >> "$PREFIX/share/small.txt"; echo "Log in." > "$PREFIX/.messages.txt"\n'
    hub.add("forge", "scripted", depends=["small"], files={"bin/.scripted-post-link.sh": script})
    spec = "channels: [forge]\ndependencies:\n- scripted\n"
    path = "bin/.scripted-post-link.sh"
    off = hub.made("scripted", spec)
    assert (off["link_scripts"], off["ran_scripts"]) == ([path], []) and not (hub.folder("scripted") / "share" / "when").exists()
    hub.do("PATCH", "environment-settings", {"values": {"link_scripts_allowed": True}})
    try:
        on = hub.made("scripted", spec)
    finally:
        hub.do("PATCH", "environment-settings", {"values": {"link_scripts_allowed": None}})
    assert on["link_scripts"] == [] and on["lock_sha256"] == off["lock_sha256"]
    assert on["ran_scripts"] == [{"package": "scripted-1.0-0", "path": path, "message": "Log in."}]
    assert (hub.folder("scripted") / "share" / "small.txt").read_bytes() == b"smallmore\n"
    assert (hub.folder("scripted-1") / "share" / "small.txt").read_bytes() == b"small", "the other build has the cache's own file"
    whole = everything(hub.folder("scripted-2"))
    # Archived to its lock, and had again although the switch is off by now: no script runs a second time.
    hub.do("POST", "organizations/acme/environments/scripted/rollback")
    hub.do("POST", "organizations/acme/environments/scripted/builds/2/archive")
    wait_until(lambda: not os.path.lexists(hub.folder("scripted-2")))
    hub.do("POST", "organizations/acme/environments/scripted/builds/2/restore")
    wait_until(lambda: hub.build("scripted", 2)["archived_at"] is None and hub.folder("scripted-2").is_dir())
    assert everything(hub.folder("scripted-2")) == whole


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_ten_builds_at_once_all_finish(hub: Site) -> None:
    numbers = [hub.post(f"many-{index}", SMALL + f"variables: {{N: '{index}'}}\n") for index in range(10)]
    assert [hub.wait(f"many-{index}", number)["state"] for index, number in enumerate(numbers)] == ["completed"] * 10
    assert all((hub.folder(f"many-{index}") / "share" / "small.txt").read_text() == "small" for index in range(10))


def at(hub: Site, name: str, phases: tuple[str, ...]) -> tuple[int, dict[str, Any]]:
    """A build of an interpreter that is in one of these phases just now, or has ended."""
    number = hub.post(name, PYTHON.replace("hello", name))
    return number, hub.until(name, number, lambda build: build["phase"] in phases or build["state"] in ENDED)


@pytest.mark.parametrize("phases", [("solve",), ("fetch", "link"), ("compile",)], ids=" ".join)
def test_a_worker_that_is_killed_leaves_a_build_that_ends_and_nothing_else(hub: Site, phases: tuple[str, ...]) -> None:
    name = f"killed-{phases[0]}"
    for _ in range(ATTEMPTS):
        number, seen = at(hub, name, phases)
        if seen["phase"] in phases:
            break
        # It was over before it was looked at.
        name += "-again"
    else:
        pytest.fail("no build was seen in that phase")
    hub.hub.kill("heavy")
    build = hub.wait(name, number)
    assert build["state"] == "completed", build["error"]
    assert output(hub.folder(name) / "bin" / "python", "-c", "print(1)") == "1\n"
    hub.until_tidy()


@pytest.mark.parametrize("phases", [("queued",), ("solve",), ("fetch", "link"), ("compile",)], ids=" ".join)
def test_a_build_is_cancelled_in_any_phase(hub: Site, phases: tuple[str, ...]) -> None:
    name = f"stopped-{phases[0]}"
    if phases == ("queued",):
        hub.do("PATCH", "organizations/acme/environment-settings", {"values": {"concurrent_builds": 1}})
        first, _ = at(hub, f"{name}-first", ("compile",))
    for _ in range(ATTEMPTS):
        number = hub.post(name, SMALL) if phases == ("queued",) else at(hub, name, phases)[0]
        hub.call("POST", f"organizations/acme/environments/{name}/builds/{number}/cancel")
        if hub.wait(name, number)["state"] == "cancelled":
            break
        # It was faster than the cancellation: another one, that has nothing to reuse.
        hub.do("DELETE", f"organizations/acme/environments/{name}")
        name += "-again"
    else:
        pytest.fail("every build went on to its end")
    if phases == ("queued",):
        hub.do("PATCH", "organizations/acme/environment-settings", {"values": {"concurrent_builds": None}})
        assert hub.wait(f"{name}-first", first)["state"] == "completed"
    hub.until_tidy()
    assert not os.path.lexists(hub.folder(name))


def test_a_build_that_takes_too_much_fails_with_a_sentence(hub: Site) -> None:
    hub.made("greedy", SMALL)
    for setting, value, code, word in (
        ("memory_bytes", 1024 * 1024, "out_of_memory", "memory"),
        ("environment_bytes", 10, "environment_too_large", "bytes"),
    ):
        hub.do("PATCH", "organizations/acme/environments/greedy/settings", {"values": {setting: value}})
        build = hub.wait("greedy", hub.post("greedy", PYTHON))
        assert (build["state"], build["error"]["code"]) == ("failed", code) and word in build["error"]["detail"]
        hub.do("PATCH", "organizations/acme/environments/greedy/settings", {"values": {setting: None}})
    hub.do("PATCH", "organizations/acme/environments/greedy/settings", {"values": {"build_seconds": 2}})
    data = hub.hub.pids()["data"]
    os.killpg(data, signal.SIGSTOP)
    try:
        build = hub.wait("greedy", hub.post("greedy", PYTHON + "description: slow\n"))
    finally:
        os.killpg(data, signal.SIGCONT)
    assert (build["state"], build["error"]["code"]) == ("failed", "timed_out") and "2 seconds" in build["error"]["detail"]
    hub.until_tidy()
    assert (hub.folder("greedy") / "share" / "small.txt").read_text() == "small", "what was current is"


def test_a_conflict_names_the_lines_and_what_policy_keeps_back_and_goes_on_when_that_is_approved(hub: Site) -> None:
    text = "channels: [forge]\ndependencies:\n- needs-old\n- small\n"
    build = hub.wait("stuck", hub.post("stuck", text))
    assert (build["state"], build["error"]["code"], build["error"]["more"]["phase"]) == ("failed", "unsolvable", "solve")
    assert {one["spec"]: one["line"] for one in build["error"]["more"]["specs"]}["needs-old"] == 3
    assert "small" in build["error"]["more"]["tree"]
    hub.add("forge", "fresh", files={"share/fresh.txt": b"fresh"})
    hub.do("PUT", "channels/forge/policy", {"rules": {"names": {"denied": ["fresh"]}}})
    # Until the index follows, a solver still finds it, and only its bytes are refused.
    until = time.monotonic() + 60
    while hub.do("GET", "channels/forge")["policy_state"] != "current":
        assert time.monotonic() < until, "the policy is not applied"
        time.sleep(0.2)
    failed = hub.wait("held", hub.post("held", "channels: [forge]\ndependencies: [fresh]\n"))
    assert [row["filename"] for row in failed["error"]["more"]["hidden"]] == ["fresh-1.0-0.conda"]
    identity = hub.do("GET", f"jobs/{failed['job']}")["id"]
    assert identity == failed["job"]


def test_a_lock_file_is_built_exactly_and_what_is_missing_is_named(hub: Site) -> None:
    made = hub.made("locked-from", SMALL)
    row = hub.do("GET", f"organizations/acme/environments/locked-from/builds/{made['number']}/packages")["results"][0]
    address = f"https://conda.example/forge/{row['subdir']}/{row['filename']}"
    hub.add("forge", "small", "2.0", files={"share/small.txt": b"newer"})
    hub.made("locked", f"@EXPLICIT\n{address}#sha256:{row['sha256']}\n")
    assert (hub.folder("locked") / "share" / "small.txt").read_text() == "small"
    answer = hub.call(
        "POST", "organizations/acme/environments/locked/builds", {"specification": f"@EXPLICIT\n{address}#sha256:{'0' * 64}\n"}
    )
    assert answer.status_code == 422 and "small-1.0-0.conda" in answer.json()["detail"]


def test_two_organizations_with_packages_of_one_name_never_see_each_others_bytes(hub: Site) -> None:
    robots = {}
    for organization in ("north", "south"):
        robots[organization] = hub.robot(organization)
        hub.channel(f"{organization}-private", organization)
        hub.add(f"{organization}-private", "secret", files={"share/secret.txt": f"of {organization}".encode()})
    for organization, headers in robots.items():
        other = "south" if organization == "north" else "north"
        text = f"channels: [{organization}-private]\ndependencies: [secret]\n"
        build = hub.made("mine", text, organization, headers=headers)
        assert (hub.folder("mine", organization) / "share" / "secret.txt").read_text() == f"of {organization}"
        assert other not in hub.log_of(build)
        refused = hub.call(
            "POST",
            f"organizations/{organization}/environments/theirs/builds",
            {"specification": f"channels: [{other}-private]\ndependencies: [secret]\n"},
            headers=headers,
        )
        assert refused.status_code == 422 and "that you may read" in refused.json()["detail"]
    for organization, headers in robots.items():
        other = "south" if organization == "north" else "north"
        archive = hub.artifact(f"organizations/{organization}/environments/mine/builds/current/artifacts/archive", headers)
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            content = b"".join(member.read() for name in packed.getnames() if (member := packed.extractfile(name)) is not None)
        assert (
            f"of {organization}".encode() in content
            and f"of {other}".encode() not in content
            and f"{other}-private".encode() not in content
        )
        lock = hub.call("GET", f"organizations/{organization}/environments/mine/builds/current/artifacts/explicit", headers=headers).text
        assert f"/channels/{organization}-private/" in lock and other not in lock
        found = hub.do("GET", "environments/packages?package=secret", headers=headers)["results"]
        assert {(row["organization"], row["channel"]) for row in found} == {(organization, f"{organization}-private")}
        for kind in ("archive", "explicit", "log", "sbom", "yaml"):
            path = f"organizations/{other}/environments/mine/builds/current/artifacts/{kind}"
            assert hub.call("GET", path, headers=headers).status_code == 403, kind
        question = {"specification": f"channels: [{other}-private]\ndependencies: [secret]\n", "organization": organization}
        asked = hub.call("POST", "environments/would-it-solve", question, headers=headers)
        assert asked.status_code == 422 and "that you may read" in asked.json()["detail"]
    shared = subprocess.run(["grep", "-rlE", "of (north|south)", hub.root / ".c" / "shared"], capture_output=True, check=False)
    assert shared.stdout == b"", "no private byte lies in the shared cache"


def test_it_is_told_at_once_whether_a_specification_would_solve(hub: Site) -> None:
    good = hub.do("POST", "environments/would-it-solve", {"specification": PYTHON, "organization": "acme"})
    assert good["solves"] and {row["name"] for row in good["packages"]["linux-64"]} == {"python", "tool"}
    bad = hub.do(
        "POST", "environments/would-it-solve", {"specification": "channels: [forge]\ndependencies:\n- nowhere >1\n", "organization": "acme"}
    )
    gpu = {"specification": "channels: [forge]\ndependencies: [gpu]\n", "organization": "acme", "environment": "on-gpus"}
    hub.add("forge", "gpu", depends=["__cuda >=12"])
    hub.do("POST", "organizations/acme/environments", {"name": "on-gpus"})
    assert "__cuda" in hub.do("POST", "environments/would-it-solve", gpu)["conflict"]["tree"]
    hub.do("PATCH", "organizations/acme/environments/on-gpus/settings", {"values": {"virtual_packages": {"__cuda": "12.4"}}})
    assert hub.do("POST", "environments/would-it-solve", gpu)["solves"], "a GPU is a setting"
    assert not bad["solves"] and bad["conflict"]["specs"][0] == {"spec": "nowhere >1", "why": bad["conflict"]["specs"][0]["why"], "line": 3}


def test_a_kept_package_stays_and_an_updated_one_is_chosen_anew(hub: Site) -> None:
    hub.add("forge", "grown")
    hub.add("forge", "other")
    text = "channels: [forge]\ndependencies: [grown, other]\n"
    hub.made("grows", text)
    for name in ("grown", "other"):
        hub.add("forge", name, "2.0")
    path = "organizations/acme/environments/grows/builds"
    for choice, versions in (
        ({"keep": ["grown"]}, {"grown": "1.0", "other": "2.0"}),
        ({"update": ["grown"]}, {"grown": "2.0", "other": "1.0"}),
        ({}, {"grown": "2.0", "other": "2.0"}),
    ):
        question = {"specification": text, "organization": "acme", "environment": "grows", **choice}
        said = hub.do("POST", "environments/would-it-solve", question)
        assert {row["name"]: row["version"] for row in said["packages"]["linux-64"]} == versions, choice
        number = hub.do("POST", path, {"specification": text, **choice})["number"]
        assert hub.wait("grows", number)["state"] == "completed"
        built = hub.do("GET", f"{path}/{number}/packages")["results"]
        assert {row["name"]: row["version"] for row in built} == versions, choice
        hub.do("POST", f"{path}/1/activate")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small filesystem")
def test_a_disk_that_fills_leaves_the_old_environment_current() -> None:
    disk = tempfile.mkdtemp(prefix="cd-")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with site(CONDAHUB_ENVIRONMENTS_DIR=f"{disk}/e") as small:
            small.channel("forge")
            small.add("forge", "small", files={"share/small.txt": b"small"})
            small.add("forge", "large", files={"share/large.bin": os.urandom(9 * 1024 * 1024)})
            small.made("tools", SMALL)
            build = small.wait("tools", small.post("tools", SMALL + "- large\n"))
            assert (build["state"], build["error"]["code"]) == ("failed", "storage_full") and "room" in build["error"]["detail"]
            assert (small.folder("tools") / "share" / "small.txt").read_text() == "small"
            small.until_tidy()
    finally:
        subprocess.run(["umount", "-l", disk], check=False)
        os.rmdir(disk)
