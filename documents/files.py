"""Files that somebody names: a configuration, a topology, a state file, a capture. Whatever the name turns out to be, a
program that reads it ends soon and says why: nothing but a regular file is taken (a FIFO would keep us waiting for its
writer, /dev/zero has no end), and no more of a text than a limit is read into memory.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

MAX_TEXT = 16 << 20  # bytes; the topology document of 1,000 switches has about 5 MB


def open_regular(path: str | os.PathLike[str], *, follow: bool = True, folder: int | None = None) -> BinaryIO:
    """The file, open for reading; without `follow` a symbolic link is refused. `folder`: the open directory in which it
    is. OSError: it cannot be opened, or it is something else than a file. Never waits."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags, dir_fd=folder)
    except OSError as fault:
        if fault.errno == errno.ELOOP and not follow:
            raise OSError(fault.errno, "is a symbolic link", os.fspath(path)) from None
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        raise OSError(errno.EINVAL, "is not a regular file", os.fspath(path))
    return open(path, "rb", opener=lambda *_: descriptor)  # so that it has its name


def read_text(path: str | os.PathLike[str], *, limit: int = MAX_TEXT, follow: bool = True) -> str:
    """The whole file as UTF-8 text. OSError as of `open_regular`, or because it has more than `limit` bytes;
    UnicodeDecodeError (a ValueError): it is no such text."""
    with open_regular(Path(path), follow=follow) as file:
        return text_of(file, limit)


def text_of(file: BinaryIO, limit: int = MAX_TEXT) -> str:
    """The rest of an open file as UTF-8 text, with the errors of `read_text`."""
    content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"is larger than {limit:,} bytes", str(file.name))
    return content.decode("utf-8")
