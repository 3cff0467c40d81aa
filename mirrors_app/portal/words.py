"""Mirrors in words: how one stands, what it takes, when it runs."""

from __future__ import annotations

import calendar
import re
from typing import Any

from cron_descriptor import CasingTypeEnum, FormatException, Options, get_description
from django.utils import timezone
from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import get_language, gettext, gettext_lazy

from condahub.jobs.models import Job
from condahub.portal.wording import ago, counted, listed, number, size
from mirrors_app.models import Mirror, MirrorMode, RunState, SyncRun

SHOWN_PATTERNS = 6
MODES = {
    MirrorMode.FULL: gettext_lazy("everything"),
    MirrorMode.FILTERED: gettext_lazy("what its filters choose"),
    MirrorMode.LAZY: gettext_lazy("on demand"),
    MirrorMode.LOCK: gettext_lazy("the packages of a lock file"),
}
# The word of a state, as the portal's six looks know it.
LOOKS = {
    RunState.RUNNING: ("running", gettext_lazy("Running")),
    RunState.OK: ("done", gettext_lazy("Complete")),
    RunState.PARTIAL: ("held", gettext_lazy("Partial")),
    RunState.HELD: ("held", gettext_lazy("Waits for approval")),
    RunState.FAILED: ("failed", gettext_lazy("Failed")),
    RunState.CANCELLED: ("cancelled", gettext_lazy("Cancelled")),
}
# What a run's job says it does.
PHASES = {
    "index": gettext_lazy("Index"),
    "plan": gettext_lazy("Plan"),
    "download": gettext_lazy("Download"),
    "publish": gettext_lazy("Publish"),
}
# What cron expressions are put into words in, by the language of the page.
CRON_LOCALES = {"de": "de_DE"}
# Days and months come from the machine's locale there, which is no person's.
_DAYS = dict(zip((*calendar.day_name, *calendar.month_name[1:]), (*WEEKDAYS.values(), *MONTHS.values()), strict=True))
_ENGLISH_DAYS = re.compile(rf"\b(?:{'|'.join(_DAYS)})\b")


def look(mirror: Mirror, run: SyncRun | None) -> tuple[str, str]:
    """The look and the word of a mirror: of the run that goes on or of the last one."""
    if run is not None and run.state == RunState.RUNNING:
        return look_of(run)
    if mirror.paused:
        return ("archived", gettext("Paused"))
    if run is None:
        return ("live", gettext("On demand")) if mirror.mode == MirrorMode.LAZY else ("waiting", gettext("Never run"))
    return look_of(run)


def look_of(run: SyncRun) -> tuple[str, str]:
    """The look and the word of one run."""
    name, word = LOOKS[RunState(run.state)]
    return name, str(word)


def phase(job: Job) -> str:
    """What a running job does now."""
    return str(PHASES.get(job.phase, job.phase[:1].upper() + job.phase[1:])) if job.phase else gettext("It begins")


def sentence(mirror: Mirror, run: SyncRun | None) -> str:
    """How it stands, in one or two sentences."""
    said = [_last(mirror, run)]
    if mirror.paused:
        said.append(gettext("It is paused."))
    elif mirror.next_run_at is not None:
        said.append(gettext("The next run is %(when)s.") % {"when": ago(mirror.next_run_at)})
    elif mirror.mode != MirrorMode.LAZY:
        said.append(gettext("It runs when somebody asks for it."))
    return " ".join(said)


def _last(mirror: Mirror, run: SyncRun | None) -> str:
    if run is None:
        if mirror.mode == MirrorMode.LAZY:
            return gettext("Packages are fetched when somebody installs them.")
        return gettext("It has not run yet.")
    if run.state == RunState.RUNNING:
        return gettext("A run goes on since %(when)s.") % {"when": ago(run.started_at)}
    when = {"when": ago(run.ended_at or run.started_at)}
    if run.state == RunState.OK:
        return gettext("Synced %(when)s.") % when
    if run.state == RunState.PARTIAL:
        return gettext("Synced %(when)s; %(missing)s.") % {**when, "missing": _missing(run)}
    if run.state == RunState.HELD:
        return gettext("Since %(when)s the upstream's index waits for approval; what was there goes on being served.") % when
    said = gettext("The last run was cancelled %(when)s.") if run.state == RunState.CANCELLED else gettext("The last run failed %(when)s.")
    if not mirror.last_synced_at:
        return said % when
    served = gettext("What was synced %(when)s goes on being served.") % {"when": ago(mirror.last_synced_at)}
    return f"{said % when} {served}"


def _missing(run: SyncRun) -> str:
    if run.refused:
        return gettext("%(packages)s could not be brought") % {"packages": counted(run.refused, "package")}
    return run.reason or gettext("not all could be brought")


def schedule(mirror: Mirror) -> str:
    """When it runs by itself: `30 2 * * *` in words, with the zone."""
    if mirror.mode == MirrorMode.LAZY:
        length = counted(mirror.index_refresh_seconds, "second")
        return gettext("Its index is looked at every %(length)s while somebody uses it") % {"length": length}
    if not mirror.schedule:
        return gettext("by hand only")
    return f"{cron_in_words(mirror.schedule)} ({mirror.time_zone})"


def cron_in_words(text: str) -> str:
    """The expression itself where it can't be put into words."""
    options = Options()
    options.casing_type = CasingTypeEnum.Sentence
    options.use_24hour_time_format = True
    options.locale_code = CRON_LOCALES.get((get_language() or "")[:2], "en_US")
    try:
        said = str(get_description(text, options))
    except FormatException:
        return text
    return _ENGLISH_DAYS.sub(lambda found: str(_DAYS[found[0]]), said)


def filters(table: dict[str, Any]) -> list[str]:
    """One sentence a filter; [] takes everything."""
    said: list[str] = []
    lists = (
        ("include", gettext("Only %(these)s.")),
        ("exclude", gettext("Not %(these)s.")),
        ("readded", gettext("In any case %(these)s.")),
        ("names", gettext("Only the packages %(these)s.")),
        ("excluded_names", gettext("Not the packages %(these)s.")),
        ("licenses", gettext("Only the licences %(these)s.")),
        ("excluded_licenses", gettext("Not the licences %(these)s.")),
    )
    said += [text % {"these": _some(table[key])} for key, text in lists if table.get(key)]
    if table.get("newest_versions"):
        said.append(gettext("The newest %(versions)s of each.") % {"versions": counted(table["newest_versions"], "version")})
    if table.get("max_bytes"):
        said.append(gettext("No file over %(size)s.") % {"size": size(table["max_bytes"])})
    for key, text in (("built_after", gettext("Built after %(day)s.")), ("built_before", gettext("Built before %(day)s."))):
        if table.get(key):
            said.append(text % {"day": str(table[key])[:10]})
    rules = (
        ("blacklist", gettext("A blacklist of %(rules)s, as conda-mirror reads it.")),
        ("whitelist", gettext("A whitelist of %(rules)s, as conda-mirror reads it.")),
    )
    said += [text % {"rules": counted(len(table[key]), "rule")} for key, text in rules if table.get(key)]
    if table.get("with_dependencies"):
        said.append(gettext("With what these need."))
    return said


def duration(run: SyncRun) -> float:
    """Seconds that a run took, or has taken so far."""
    return max(((run.ended_at or timezone.now()) - run.started_at).total_seconds(), 0.0)


def _some(patterns: list[str]) -> str:
    shown = [str(one) for one in patterns[:SHOWN_PATTERNS]]
    if len(patterns) <= SHOWN_PATTERNS:
        return listed(shown)
    return listed([*shown, gettext("%(number)s more") % {"number": number(len(patterns) - SHOWN_PATTERNS)}])
