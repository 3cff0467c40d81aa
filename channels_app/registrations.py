"""What this app gives the rooms below it: job kinds and schedules."""

from __future__ import annotations


def register() -> None:
    """Called once, when the app is ready."""
    from channels_app import tasks  # noqa: F401 - registers the job kinds
