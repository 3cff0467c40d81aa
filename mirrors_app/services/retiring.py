"""A channel's own rule on how many builds it keeps, applied to what a run brought."""

from __future__ import annotations

from collections.abc import Callable

from channels_app.models import Channel
from channels_app.services import retention
from condahub.accounts.policy import SYSTEM
from condahub.errors import HubError
from mirrors_app.core.run import RunReport
from mirrors_app.models import Mirror

# Past this a job of its own goes through the channel: a run does not wait for it.
MAX_AT_ONCE = 2000


def retire(mirror: Mirror, report: RunReport, say: Callable[[str], object]) -> list[tuple[str, str]]:
    """Let go of builds past the channel's `keep_builds`, of names that the run added to; (subdir, filename) of those that went.

    The mirror does not bring them back. A run is none the worse for it when this fails: the daily job does it.
    """
    channel = Channel.objects.existing().select_related("organization").filter(pk=mirror.channel_id).first()
    if channel is None or not channel.keep_builds or not report.added:
        return []
    names = {filename.rsplit("-", 2)[0] for _, filename in report.added}
    files = retention.surplus(channel, names=names)
    if len(files) > MAX_AT_ONCE:
        retention.ask_to_apply(channel, actor_label="sync")
        say(f"{len(files):,} files past the newest {channel.keep_builds} builds go by a job of their own.")
        return []
    try:
        retention.let_go(actor=SYSTEM, channel=channel, files=files)
    except HubError as error:
        say(f"Older builds were not let go of: {error.detail}")
        return []
    if files:
        say(f"{len(files):,} files past the newest {channel.keep_builds} builds were let go of.")
    return files
