"""kombu's filesystem transport, made safe against messages that are only half written."""

from __future__ import annotations

import logging
import os
import time
import uuid
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps

logger = logging.getLogger(__name__)


class Channel(filesystem.Channel):
    """kombu opens the file under its final name and then writes it: a worker that polls in between reads nothing and stops."""

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:  # type: ignore[override]  # kombu's stubs disagree among themselves
        name = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}.{queue}.msg"
        draft = os.path.join(self.data_folder_out, f".{name}.draft")
        try:
            with open(draft, "wb", buffering=0) as file:
                file.write(str_to_bytes(dumps(payload)))
            os.rename(draft, os.path.join(self.data_folder_out, name))
        except OSError as error:
            raise ChannelError(f"Cannot add {name!r} to the queue's folder") from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        while True:
            try:
                return super()._get(queue)
            except ValueError:
                # kombu has taken it out of the folder already; raised from here it would end the worker.
                logger.warning("An unreadable message to the %s lane was dropped.", queue)


class Transport(filesystem.Transport):
    Channel = Channel
