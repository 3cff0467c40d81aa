"""Reads a channel in a folder of this machine as if it were asked over HTTP, inside the folders that were allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mirrors_app.core.errors import UpstreamBroken, UpstreamError, UpstreamMissing, UpstreamTooLarge
from mirrors_app.core.parts import Answer, S, Validators

READ_BYTES = 2**20


class LocalFolders:
    """What `file:` addresses may lead to."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [folder.resolve() for folder in folders]

    def _path(self, url: str) -> Path:
        """The path of a file: address, inside the folders that were allowed."""
        path = Path(unquote(urlsplit(url).path)).resolve()
        if not any(path.is_relative_to(folder) for folder in self._folders):
            raise UpstreamError(f"'{path.name}' is not inside a folder that this mirror may read.", code="forbidden_address")
        return path

    def read(self, url: str, max_bytes: int, validators: Validators | None) -> Answer:
        path = self._path(url)
        try:
            status = path.stat()
            found = Validators(etag=f'"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"')
            if validators is not None and validators.etag == found.etag:
                return Answer(None, found, url)
            if status.st_size > max_bytes:
                raise UpstreamTooLarge(f"'{path.name}' has more than {max_bytes} bytes.")
            return Answer(path.read_bytes(), found, url)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise UpstreamMissing(f"'{path.name}' is not there.") from error
        except OSError as error:
            raise UpstreamError(f"'{path.name}' can't be read: {error.strerror}.") from error

    def copy(self, url: str, open_sink: Callable[[], S], max_bytes: int, progress: Callable[[int], None] | None) -> S:
        path = self._path(url)
        try:
            source = path.open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise UpstreamMissing(f"'{path.name}' is not there.") from error
        except OSError as error:
            raise UpstreamError(f"'{path.name}' can't be read: {error.strerror}.") from error
        sink = open_sink()
        try:
            with source:
                while chunk := source.read(READ_BYTES):
                    sink.write(chunk)
                    if sink.size > max_bytes:
                        raise UpstreamBroken(f"'{path.name}' has more bytes than its record says.")
                    if progress is not None:
                        progress(len(chunk))
        except BaseException:
            sink.close()
            raise
        return sink
