"""What a build does, phase by phase: solve, fetch and link, pip, compile, move into place."""

from __future__ import annotations

import importlib
import importlib.util
import time
from typing import Any

from django.conf import settings

from condahub.accounts.quota import room_for
from condahub.engine import prefix as prefixes
from condahub.engine.lock import HubLock
from condahub.engine.protocol import Compile, Install, InstallAnswer, Platform, RunScripts, RunScriptsAnswer, Solve, SolveAnswer
from condahub.errors import Conflict, HubError, Unprocessable
from environments_app.building import folders, locks, scripts
from environments_app.building.context import POST_LINK, BuildContext, Scripts
from environments_app.models import Phase, SpecificationKind
from environments_app.services.choices import chosen

_PIP_PHASE = "environments_app.pip.phase"
_SYSTEM_OF = {
    "glibc": ("linux",),
    "linux": ("linux",),
    "osx": ("osx",),
    "win": ("win",),
    "unix": ("linux", "osx"),
    "cuda": ("linux", "win"),
}


def solve(context: BuildContext) -> HubLock:
    """The lock: solved for every platform; or, of a specification that is a lock file, read."""
    with context.phase(Phase.SOLVE):
        if context.build.specification.kind != SpecificationKind.YAML:
            return locks.lock_of(context.build.specification, context.channels)
        answer = context.run_engine(solve_request(context), timeout_seconds=context.limits.solve_seconds + GRACE_SECONDS)
        assert isinstance(answer, SolveAnswer) and answer.lock is not None
        for platform, seconds in answer.seconds.items():
            context.job.log(f"{platform}: {len(answer.lock.platform(platform).conda)} packages, solved in {seconds:.2f} s")
        return answer.lock


# The solver ends by itself at its limit, and says so; what does not is ended a little later.
GRACE_SECONDS = 10


def solve_request(context: BuildContext) -> Solve:
    asked = context.request
    return Solve(
        channels=context.engine_channels,
        platforms=platforms_of(asked),
        specs=tuple(asked["dependencies"]),
        cache_folder=str(folders.index_cache(context.build.environment.organization_id)),
        token=context.token,
        timeout_seconds=min(context.limits.solve_seconds, context.remaining_seconds()),
        **chosen(context.build.environment_id, asked),
    )


def platforms_of(asked: dict[str, Any]) -> tuple[Platform, ...]:
    """The platforms of a request, each with those of its virtual packages that exist there."""
    virtual = {name.removeprefix("__"): version for name, version in asked.get("virtual_packages", {}).items()}
    return tuple(
        Platform(subdir=subdir, virtual_packages={name: version for name, version in virtual.items() if _exists_on(name, subdir)})
        for subdir in asked["platforms"]
    )


def _exists_on(name: str, subdir: str) -> bool:
    systems = _SYSTEM_OF.get(name)
    return systems is None or subdir.partition("-")[0] in systems


def install(context: BuildContext) -> None:
    """Fetch the packages of this machine's platform and link them into the staging folder."""
    environment = context.build.environment
    records = context.known_lock.platform(context.platform).conda
    _check_size(context, sum(record.size or 0 for record in records))
    started = time.monotonic()
    linking_from: list[float] = []

    def on_progress(told: dict[str, Any]) -> None:
        if told.get("phase") == "link" and not linking_from:
            linking_from.append(time.monotonic())
            context.enter(Phase.LINK)

    context.enter(Phase.FETCH)
    try:
        answer = context.run_engine(
            Install(
                lock=context.known_lock.only(context.platform),
                platform=context.platform,
                channels=context.engine_channels,
                staging=str(context.staging),
                prefix=str(context.prefix),
                organization_cache=str(folders.organization_cache(environment.organization_id)),
                shared_cache=str(folders.shared_cache()),
                token=context.token,
                specs=tuple(context.request["dependencies"]),
                variables=context.request.get("variables", {}),
            ),
            on_progress=on_progress,
        )
        # Nothing of it is there any more when the folder is compiled, sealed and moved.
        context.engine.close()
    finally:
        # Linking begins with the first package that is there.
        linked = linking_from[0] if linking_from else time.monotonic()
        context.timings[Phase.FETCH] = round(linked - started, 3)
        context.timings[Phase.LINK] = round(time.monotonic() - linked, 3)
    assert isinstance(answer, InstallAnswer)
    context.size = answer.total_bytes
    context.link_scripts = sorted(script.path for script in answer.link_scripts)
    context.job.log(
        f"{answer.packages} packages, {answer.files} files ({answer.shared_files} shared), {answer.total_bytes} bytes, "
        f"{answer.downloaded_bytes} downloaded"
    )
    _check_size(context, answer.total_bytes)
    room_for(environment.organization, answer.total_bytes)


def run_scripts(context: BuildContext) -> None:
    """Run what packages bring to be run when they are linked, where IT allows it; keep what that writes."""
    if context.limits.link_scripts and any(path.endswith(POST_LINK) for path in context.link_scripts):
        with context.phase(Phase.LINK):
            _run_scripts(context)
    if context.link_scripts:
        context.job.log(f"{len(context.link_scripts)} scripts that packages bring for installing did not run", "warning")


def _run_scripts(context: BuildContext) -> None:
    overlay = context.staging.parent / "scripts.tar"
    answer = context.run_engine(
        RunScripts(
            lock=context.known_lock.only(context.platform),
            platform=context.platform,
            staging=str(context.staging),
            prefix=str(context.prefix),
            overlay=str(overlay),
            seconds=context.remaining_seconds(),
            memory_bytes=context.limits.memory_bytes,
            max_bytes=context.limits.environment_bytes,
            hidden=folders.hidden(),
        )
    )
    assert isinstance(answer, RunScriptsAnswer)
    for one in answer.ran:
        context.job.log(f"{one.path} of {one.package} ran" + (f":\n{one.output.strip()}" if one.output.strip() else ""))
    if not answer.ran:
        return
    ran = {one.path for one in answer.ran}
    context.link_scripts = [path for path in context.link_scripts if path not in ran]
    told = tuple({"package": one.package, "path": one.path, "message": one.message} for one in answer.ran)
    context.scripts = Scripts(told, scripts.keep(overlay, answer.sha256), answer.size)
    context.size = answer.total_bytes
    _check_size(context, context.size)
    room_for(context.build.environment.organization, context.size)


def _check_size(context: BuildContext, size: int) -> None:
    limit = context.limits.environment_bytes
    if size > limit:
        raise Unprocessable(
            f"The environment needs {size:,} bytes; it may take {limit:,}.",
            code="environment_too_large",
            hint="Ask for fewer packages, or ask the organization's owner or IT for more room.",
        )


def install_wheels(context: BuildContext) -> HubLock:
    """The lock with the wheels of the `pip:` lines in it, which lie in the staging folder then."""
    if not (context.request.get("pip") or any(platform.pypi for platform in context.known_lock.platforms.values())):
        return context.known_lock
    with context.phase(Phase.PIP):
        if importlib.util.find_spec("environments_app.pip") is None or importlib.util.find_spec(_PIP_PHASE) is None:
            raise HubError("This hub can't install pip requirements.", code="pip_unavailable", status=422, hint="Use conda packages.")
        found = importlib.import_module(_PIP_PHASE).run(context)
        assert isinstance(found, HubLock)
        return found


def compile_bytecode(context: BuildContext) -> None:
    """Compile the staging folder's Python files; an environment without is as good as one with, only slower to start."""
    if not settings.CONDAHUB_COMPILE_BYTECODE:
        return
    with context.phase(Phase.COMPILE):
        try:
            answer = context.run_engine(Compile(prefix=str(context.staging), workers=2))
        except HubError as error:
            if error.code != "compile_failed":
                raise
            context.job.log(f"{error.detail} It starts without.", "warning")
        else:
            skipped = getattr(answer, "skipped", "")
            context.job.log(skipped or f"{getattr(answer, 'compiled', 0)} Python files compiled")


def place(context: BuildContext) -> None:
    """Seal the staging folder and move it to where it was written for."""
    prefixes.seal(context.staging)
    context.job.check_cancelled()
    try:
        prefixes.place(context.staging, context.prefix)
    except Conflict:
        # Left by an attempt that lost its lease in this very moment.
        prefixes.remove(context.prefix)
        prefixes.place(context.staging, context.prefix)
    prefixes.remove(context.staging.parent)
