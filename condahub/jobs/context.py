"""What a running job holds: progress, log, cancellation, its lease kept alive, and supervised child processes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from django.db import DatabaseError, InterfaceError, connection, connections, transaction
from django.utils import timezone

from condahub.errors import HubError
from condahub.jobs import services
from condahub.jobs.child import ChildEnd, ChildFailed, Conversation, supervise
from condahub.jobs.models import Job, JobLog
from condahub.jobs.registry import JobKind

logger = logging.getLogger(__name__)

# Progress and log reach the database no more often than this.
FLUSH_SECONDS = 1.0
FLUSH_LOG_CHARS = 64 * 1024
CANCEL_POLL_SECONDS = 1.0
# A run that is past its time limit and does not look is declared failed after this.
OVERDUE_GRACE_SECONDS = 10.0
# ... and again after this, as long as the database does not answer.
OVERDUE_AGAIN_SECONDS = 0.5
MAX_LOG_CHARS = 16 * 1024 * 1024
LAST_ERROR_LINES = 20


class JobCancelled(Exception):
    """Somebody cancelled this job: leave, undoing what is half done."""


class JobReleased(Exception):
    """The worker is stopping: leave; the job will start again elsewhere."""


class JobPostponed(Exception):
    """The run can't begin yet: it is to be tried again after so many seconds, or when somebody moves it earlier."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class TimedOut(HubError):
    code = "timed_out"
    status = 422


class JobContext:
    """One run of one job, in one thread. A context manager: entered, it keeps the lease; left, it writes what is pending.

    `progress`, `log` and `check_cancelled` are cheap to call often. Inside a transaction of the run they only note what
    to write: a lease is not worth holding other people's locks for.
    """

    def __init__(
        self, job: Job, kind: JobKind, *, stop: threading.Event | None = None, on_overdue: Callable[[], None] | None = None
    ) -> None:
        self.job = job
        self.kind = kind
        self._stop = stop or threading.Event()
        self._on_overdue = on_overdue
        self._left = threading.Event()
        self._lost = threading.Event()
        self._deadline = time.monotonic() + kind.timeout_seconds
        self._depth = len(connection.atomic_blocks)
        self._progress: dict[str, Any] = {}
        self._phase_started = time.monotonic()
        self._phase_from = 0
        self._lines: list[JobLog] = []
        self._pending_chars = 0
        self._log_chars = 0
        self._sequence: int | None = None
        self._flushed_at = time.monotonic()
        self._looked_at = 0.0
        self._on_beat: list[Callable[[], None]] = []
        self._beat = threading.Thread(target=self._keep_alive, name=f"lease-{job.pk}", daemon=True)

    # -- what a run calls ------------------------------------------------------------------------------------------

    def progress(
        self,
        done: int | None = None,
        total: int | None = None,
        *,
        unit: str | None = None,
        phase: str | None = None,
        message: str | None = None,
    ) -> None:
        """Say how far it is. A new phase starts the count anew; the rate is units a second since the phase began."""
        now = time.monotonic()
        if phase is not None and phase != self._progress.get("phase", self.job.phase):
            self._progress.update(phase=phase[:100], done=0, total=None, rate=None)
            self._phase_started, self._phase_from = now, done or 0
            self._flushed_at = 0.0
        given = {"done": done, "total": total, "unit": unit and unit[:20], "message": message if message is None else message[:500]}
        self._progress.update({name: value for name, value in given.items() if value is not None})
        if done is not None and now - self._phase_started >= FLUSH_SECONDS:
            self._progress["rate"] = (done - self._phase_from) / (now - self._phase_started)
        self._flush_when_due()

    def log(self, text: str, level: str = "info") -> None:
        """Append to the job's log, which persons read. No secrets."""
        if self._log_chars > MAX_LOG_CHARS:
            return
        self._log_chars += len(text)
        if self._log_chars > MAX_LOG_CHARS:
            text, level = "The log ends here: it has reached its limit.", "warning"
        # PostgreSQL stores no NUL character.
        text = text.replace("\x00", "�")
        last = self._lines[-1] if self._lines else None
        if last is not None and last.level == level and len(last.text) < FLUSH_LOG_CHARS:
            last.text += f"\n{text}"
        else:
            self._lines.append(JobLog(job_id=self.job.pk, at=timezone.now(), level=level[:10], text=text))
        self._pending_chars += len(text)
        self._flush_when_due()

    def check_cancelled(self) -> None:
        """Raise when the run should end: JobCancelled, JobReleased, TimedOut, or LeaseLost. Call it between steps."""
        if self._lost.is_set():
            raise services.LeaseLost(str(self.job))
        if self._stop.is_set():
            raise JobReleased(str(self.job))
        now = time.monotonic()
        if now > self._deadline:
            raise TimedOut(f"The job took longer than {self.kind.timeout_seconds:g} seconds.")
        if now - self._looked_at >= CANCEL_POLL_SECONDS:
            self._looked_at = now
            self._flush_when_due()
            if services.cancel_was_requested(self.job):
                raise JobCancelled(str(self.job))

    def on_beat(self, call: Callable[[], None]) -> None:
        """Have `call` called, from another thread, each time the lease is prolonged: for what shall end with it."""
        self._on_beat.append(call)

    def run_child(
        self,
        argv: Sequence[str],
        *,
        stdin: object,
        env: Mapping[str, str],
        cwd: Path | None = None,
        timeout_seconds: float | None = None,
        max_memory_bytes: int | None = None,
        on_output: Callable[[dict[str, Any]], None] | None = None,
        on_progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        """Run a child in a process group of its own (see condahub.jobs.child) and return its `result` object.

        Its progress and log lines become the job's; on_progress is told of the former too. Its `error` line is raised as a
        HubError; a child that ends badly without one raises ChildFailed. Cancelling, stopping and losing the lease kill the group.
        """
        remaining = self._deadline - time.monotonic()
        limit = remaining if timeout_seconds is None else min(timeout_seconds, remaining)
        talk = _Talk(self, on_output, on_progress)
        end = supervise(
            argv,
            stdin=stdin,
            env=env,
            cwd=cwd,
            timeout_seconds=limit,
            max_memory_bytes=max_memory_bytes,
            on_output=talk.on_output,
            on_error_line=talk.on_error_line,
            check=self.check_cancelled,
        )
        return talk.outcome(end)

    def ask(
        self,
        child: Conversation,
        value: object,
        *,
        timeout_seconds: float | None = None,
        on_output: Callable[[dict[str, Any]], None] | None = None,
        on_progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        """Ask a child that stays, as `run_child` runs one; it is closed where it did not answer."""
        remaining = self._deadline - time.monotonic()
        talk = _Talk(self, on_output, on_progress)
        end = child.ask(
            value,
            answered=lambda: talk.has_answer,
            timeout_seconds=remaining if timeout_seconds is None else min(timeout_seconds, remaining),
            on_output=talk.on_output,
            on_error_line=talk.on_error_line,
            check=self.check_cancelled,
        )
        return talk.outcome(end)

    # -- the lease -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._beat.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._left.set()
        if not isinstance(error, services.LeaseLost):
            self.flush()

    @property
    def lost(self) -> bool:
        return self._lost.is_set()

    def _keep_alive(self) -> None:
        """The heartbeat thread: wakes every third of the lease, and at the time limit."""
        every = self.kind.lease_seconds / 3
        overdue_at = self._deadline + OVERDUE_GRACE_SECONDS
        try:
            while not self._left.wait(max(OVERDUE_AGAIN_SECONDS, min(every, overdue_at - time.monotonic()))):
                try:
                    if time.monotonic() >= overdue_at:
                        self._give_up()
                        return
                    services.heartbeat(self.job)
                    for call in self._on_beat:
                        call()
                except services.LeaseLost:
                    self._lost.set()
                    return
                except (DatabaseError, InterfaceError):
                    logger.warning("No heartbeat for %s: the database does not answer.", self.job, exc_info=True)
                finally:
                    connections.close_all()
        finally:
            connections.close_all()

    def _give_up(self) -> None:
        # A thread can't be stopped from outside: the job is taken from it, and whatever it does later is fenced off.
        logger.error("%s is past its time limit and does not answer.", self.job)
        services.fail(self.job, code="timed_out", sentence=f"The job took longer than {self.kind.timeout_seconds:g} seconds.", retry=False)
        self._lost.set()
        if self._on_overdue is not None:
            self._on_overdue()

    # -- writing ---------------------------------------------------------------------------------------------------

    def _flush_when_due(self) -> None:
        if self._pending_chars >= FLUSH_LOG_CHARS or time.monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write pending progress and log lines in one short transaction, under the lease."""
        if not self._progress and not self._lines:
            return
        if len(connection.atomic_blocks) > self._depth:
            return
        progress, lines = self._progress, self._lines
        with transaction.atomic():
            services.heartbeat(self.job, **progress)
            self._append(lines)
        for name, value in progress.items():
            setattr(self.job, name, value)
        self._progress, self._lines = {}, []
        self._pending_chars = 0
        self._flushed_at = time.monotonic()

    def _append(self, lines: list[JobLog]) -> None:
        if not lines:
            return
        if self._sequence is None:
            last = JobLog.objects.filter(job_id=self.job.pk).order_by("-sequence").values_list("sequence", flat=True).first()
            self._sequence = last or 0
        for number, line in enumerate(lines, start=self._sequence + 1):
            line.sequence = number
        JobLog.objects.bulk_create(lines)
        self._sequence += len(lines)


class _Talk:
    """What a child says, sorted: progress and log to the job, result and error kept for the end."""

    def __init__(
        self,
        context: JobContext,
        on_output: Callable[[dict[str, Any]], None] | None,
        on_progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._context = context
        self._on_output = on_output
        self._on_progress = on_progress
        self._result: dict[str, Any] | None = None
        self._error: dict[str, Any] | None = None
        self._last_lines: list[str] = []

    def on_output(self, said: dict[str, Any]) -> None:
        if isinstance(said.get("progress"), dict):
            told = said["progress"]
            if self._on_progress is not None:
                self._on_progress(told)
            self._context.progress(**{name: told[name] for name in ("done", "total", "unit", "phase", "message") if name in told})
        elif isinstance(said.get("log"), str):
            self._context.log(said["log"], str(said.get("level", "info")))
        elif isinstance(said.get("result"), dict):
            self._result = said["result"]
        elif isinstance(said.get("error"), dict):
            self._error = said["error"]
        elif self._on_output is not None:
            self._on_output(said)

    def on_error_line(self, text: str) -> None:
        self._last_lines = [*self._last_lines[-LAST_ERROR_LINES + 1 :], text]
        self._context.log(text, "child")

    @property
    def has_answer(self) -> bool:
        return self._result is not None or self._error is not None

    def outcome(self, end: ChildEnd | None) -> dict[str, Any]:
        """The result. end: None for a child that has answered and stays."""
        if self._error is not None:
            detail = str(self._error.get("detail") or "The work's process failed.")
            raise HubError(
                detail,
                code=str(self._error.get("code") or "child_failed"),
                hint=str(self._error.get("hint") or ""),
                status=int(self._error.get("status") or 422),
            )
        if self._result is None or (end is not None and end.status != 0):
            status = end.status if end is not None else None
            logger.error("%s: its child ended with status %s: %s", self._context.job, status, "\n".join(self._last_lines))
            raise ChildFailed("The work's process ended before it had a result.", hint="The job's log shows its last lines.")
        return self._result
