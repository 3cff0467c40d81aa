"""Mirrors in words: how one stands, what it takes, when it runs."""

from __future__ import annotations

from typing import Any

from cron_descriptor import CasingTypeEnum, FormatException, Options, get_description
from django.utils import timezone

from condahub.portal.wording import ago, counted, listed, size
from mirrors_app.models import Mirror, MirrorMode, RunState, SyncRun

SHOWN_PATTERNS = 6
MODES = {
    MirrorMode.FULL: "everything",
    MirrorMode.FILTERED: "what its filters choose",
    MirrorMode.LAZY: "on demand",
    MirrorMode.LOCK: "the packages of a lock file",
}
# The word of a state, as the portal's six looks know it.
LOOKS = {
    RunState.RUNNING: ("running", "Running"),
    RunState.OK: ("done", "Complete"),
    RunState.PARTIAL: ("held", "Partial"),
    RunState.HELD: ("held", "Waits for approval"),
    RunState.FAILED: ("failed", "Failed"),
    RunState.CANCELLED: ("cancelled", "Cancelled"),
}


def look(mirror: Mirror, run: SyncRun | None) -> tuple[str, str]:
    """The look and the word of a mirror: of the run that goes on or of the last one."""
    if run is not None and run.state == RunState.RUNNING:
        return LOOKS[RunState.RUNNING]
    if mirror.paused:
        return ("archived", "Paused")
    if run is None:
        return ("live", "On demand") if mirror.mode == MirrorMode.LAZY else ("waiting", "Never run")
    return LOOKS[RunState(run.state)]


def sentence(mirror: Mirror, run: SyncRun | None) -> str:
    """How it stands, in one or two sentences."""
    said = [_last(mirror, run)]
    if mirror.paused:
        said.append("It is paused.")
    elif mirror.next_run_at is not None:
        said.append(f"The next run is {ago(mirror.next_run_at)}.")
    elif mirror.mode != MirrorMode.LAZY:
        said.append("It runs when somebody asks for it.")
    return " ".join(said)


def _last(mirror: Mirror, run: SyncRun | None) -> str:
    if run is None:
        return "Packages are fetched when somebody installs them." if mirror.mode == MirrorMode.LAZY else "It has not run yet."
    if run.state == RunState.RUNNING:
        return f"A run goes on since {ago(run.started_at)}."
    ended = ago(run.ended_at or run.started_at)
    if run.state == RunState.OK:
        return f"Synced {ended}."
    if run.state == RunState.PARTIAL:
        missing = f"{counted(run.refused, 'package')} could not be brought" if run.refused else run.reason or "not all could be brought"
        return f"Synced {ended}; {missing}."
    if run.state == RunState.HELD:
        return f"Since {ended} the upstream's index waits for approval; what was there goes on being served."
    synced = f" What was synced {ago(mirror.last_synced_at)} goes on being served." if mirror.last_synced_at else ""
    return f"The last run {'was cancelled' if run.state == RunState.CANCELLED else 'failed'} {ended}.{synced}"


def schedule(mirror: Mirror) -> str:
    """When it runs by itself: `30 2 * * *` in words, with the zone."""
    if mirror.mode == MirrorMode.LAZY:
        return f"Its index is looked at every {counted(mirror.index_refresh_seconds, 'second')} while somebody uses it"
    if not mirror.schedule:
        return "by hand only"
    return f"{cron_in_words(mirror.schedule)} ({mirror.time_zone})"


def cron_in_words(text: str) -> str:
    """The expression itself where it can't be put into words."""
    options = Options()
    options.casing_type = CasingTypeEnum.Sentence
    options.use_24hour_time_format = True
    options.locale_code = "en_US"
    try:
        return str(get_description(text, options))
    except FormatException:
        return text


def filters(table: dict[str, Any]) -> list[str]:
    """One sentence a filter; [] takes everything."""
    said: list[str] = []
    lists = (
        ("include", "Only {}."),
        ("exclude", "Not {}."),
        ("readded", "In any case {}."),
        ("names", "Only the packages {}."),
        ("excluded_names", "Not the packages {}."),
        ("licenses", "Only the licences {}."),
        ("excluded_licenses", "Not the licences {}."),
    )
    said += [text.format(_some(table[key])) for key, text in lists if table.get(key)]
    if table.get("newest_versions"):
        said.append(f"The newest {counted(table['newest_versions'], 'version')} of each.")
    if table.get("max_bytes"):
        said.append(f"No file over {size(table['max_bytes'])}.")
    for key, text in (("built_after", "Built after {}."), ("built_before", "Built before {}.")):
        if table.get(key):
            said.append(text.format(str(table[key])[:10]))
    for key in ("blacklist", "whitelist"):
        if table.get(key):
            said.append(f"A {key} of {counted(len(table[key]), 'rule')}, as conda-mirror reads it.")
    if table.get("with_dependencies"):
        said.append("With what these need.")
    return said


def duration(run: SyncRun) -> float:
    """Seconds that a run took, or has taken so far."""
    return max(((run.ended_at or timezone.now()) - run.started_at).total_seconds(), 0.0)


def _some(patterns: list[str]) -> str:
    shown = [str(one) for one in patterns[:SHOWN_PATTERNS]]
    return listed([*shown, f"{len(patterns) - SHOWN_PATTERNS:,} more"] if len(patterns) > SHOWN_PATTERNS else shown)
