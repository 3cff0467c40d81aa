"""Opens what upstreams compress, never to more than a limit, and keeps large texts where memory can be taken back from them."""

from __future__ import annotations

import bz2
import io
import mmap
import tempfile

import zstandard

from mirrors_app.core.errors import UpstreamBroken, UpstreamTooLarge

MAX_WINDOW_BYTES = 128 * 2**20
PIECE_BYTES = 4 * 2**20
# Below it a text is not worth a file.
PAGED_BYTES = 64 * 2**20
_DONTNEED: int | None = getattr(mmap, "MADV_DONTNEED", None)

Text = bytes | mmap.mmap


def open_zstd(data: bytes, *, max_bytes: int, what: str) -> bytes:
    """The content of one or several frames. Raises UpstreamTooLarge, UpstreamBroken."""
    try:
        promised = zstandard.frame_content_size(data)
        if promised > max_bytes:
            raise UpstreamTooLarge(f"{what} unpacks to more than {max_bytes} bytes.")
        if promised > 0:
            try:
                opener = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
                return opener.decompress(data, max_output_size=max_bytes, allow_extra_data=False)
            except zstandard.ZstdError:
                pass
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(io.BytesIO(data), read_across_frames=True)
        out = bytearray()
        while piece := reader.read(PIECE_BYTES):
            out += piece
            if len(out) > max_bytes:
                raise UpstreamTooLarge(f"{what} unpacks to more than {max_bytes} bytes.")
        if not out or len(out) < promised:
            raise UpstreamBroken(f"{what} ends too early.")
        return bytes(out)
    except zstandard.ZstdError as error:
        raise UpstreamBroken(f"{what} is not Zstandard data.") from error


def open_bz2(data: bytes, *, max_bytes: int, what: str) -> bytes:
    """The content of one or several streams. Raises UpstreamTooLarge, UpstreamBroken."""
    out = bytearray()
    try:
        while data:
            opener = bz2.BZ2Decompressor()
            while not opener.eof:
                if opener.needs_input and not data:
                    raise UpstreamBroken(f"{what} ends too early.")
                out += opener.decompress(data, max_length=PIECE_BYTES)
                data = b""
                if len(out) > max_bytes:
                    raise UpstreamTooLarge(f"{what} unpacks to more than {max_bytes} bytes.")
            data = opener.unused_data
    except OSError as error:
        raise UpstreamBroken(f"{what} is not bzip2 data.") from error
    return bytes(out)


def paged(text: bytes) -> Text:
    """The same bytes, those of a large text in a file without a name: beside what is made of it, it need not be in memory as well."""
    if len(text) < PAGED_BYTES:
        return text
    try:
        with tempfile.TemporaryFile() as file:
            file.write(text)
            file.flush()
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError:
        # No room there: then it stays where it is.
        return text


def let_go(text: Text) -> None:
    """Give back the memory that a paged text takes; what is read of it again comes from its file."""
    if isinstance(text, mmap.mmap) and _DONTNEED is not None:
        text.madvise(_DONTNEED)
