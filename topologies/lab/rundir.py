"""The files of a lab beside each other (/run/howdah: state, log, lock), written and believed as root must.

A directory counts only if nobody but root (or we) can put something into it, all the way up; a file in it only if it is
a file and nobody else could write it. So a state file is what a lab wrote. Modes are set, whatever the umask; nothing
is written through a symbolic link. Who holds the lab is not read from a file: it is the process that has the lock
(fcntl(2), F_GETLK), as the kernel says.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from documents.files import open_regular, text_of
from topologies.lab.machine import LabError

PUBLIC, PRIVATE = 0o644, 0o600  # modes: what `howdah lab status` reads without root, and the rest
FLOCK = struct.Struct("@hhqqi4x")  # struct flock of fcntl(2) on 64-bit Linux: type, whence, start, length, pid
_held: dict[Path, int] = {}  # descriptors of the locks of this process


def prepare(directory: Path) -> None:
    """Make the directory unless it is there; LabError if others can write there."""
    missing = [place for place in (directory, *directory.parents) if not place.exists()]
    for place in reversed(missing):
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o755)
            place.chmod(0o755)
    trust(directory)


def trust(directory: Path) -> None:
    """LabError unless only root and we can put files into this directory, or another one in its place."""
    real = directory.resolve()
    for place in (real, *real.parents):
        try:
            info = place.lstat()
        except OSError as fault:
            raise LabError(f"{place}: {fault.strerror}") from None
        writable = info.st_mode & 0o022 and (place == real or not info.st_mode & stat.S_ISVTX)
        if info.st_uid not in (0, os.geteuid()) or writable:
            raise LabError(f"{place} can be written by others: a lab's files must be where only root can put them")


def read_text(path: Path) -> str:
    """A file of ours; FileNotFoundError if there is none, LabError if it could be somebody else's."""
    try:
        with open_regular(path, follow=False) as file:
            trust(path.parent)
            info = os.fstat(file.fileno())
            if info.st_uid not in (0, os.geteuid()) or info.st_mode & 0o022:
                raise LabError(f"{path} could have been written by others")
            return text_of(file)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as fault:
        raise LabError(f"{path}: {getattr(fault, 'strerror', None) or 'is not UTF-8 text'}") from None


def write(path: Path, text: str) -> None:
    """Put this text in the place of a file, as a whole and readable to all."""
    draft = _draft(path, text)
    try:
        draft.replace(path)
    except OSError as fault:
        draft.unlink()
        raise LabError(f"{path}: {fault.strerror}") from None


def create(path: Path, text: str) -> None:
    """As `write`, but FileExistsError if there is such a file."""
    draft = _draft(path, text)
    try:
        os.link(draft, path)
    finally:
        draft.unlink()


def _draft(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
    except OSError as fault:
        raise LabError(f"{path}: {fault.strerror}") from None
    with open(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, PUBLIC)
        file.write(text)
    return draft


def new_log(path: Path) -> int:
    """A descriptor of a new, empty file that only root reads; one that was there is removed, not written to."""
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)


# --- the lock ---------------------------------------------------------------------------------------------------------


def lock_of(state: Path) -> Path:
    """The lock that belongs to a state file."""
    return state.with_name(f"{state.stem}.lock").absolute()


@contextlib.contextmanager
def locked(state: Path) -> Iterator[None]:
    """Within, this process holds the lab of a state file; LabError names the process that does."""
    lock(state)
    try:
        yield
    finally:
        unlock(state)


def lock(state: Path) -> None:
    """Take the lock; LabError if another process, or this one, has it."""
    prepare(state.parent)
    path = lock_of(state)
    if path in _held:
        raise LabError(f"a lab is up already (process {os.getpid()}); `howdah lab down` removes it")
    while path not in _held:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
        except OSError as fault:
            raise LabError(f"{path}: {fault.strerror}") from None
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            os.close(descriptor)
            if fault.errno not in (errno.EACCES, errno.EAGAIN):
                raise LabError(f"{path}: {fault.strerror}") from None
            raise LabError(f"a lab is up already (process {holder(state)}); `howdah lab down` removes it") from None
        if _is_at(descriptor, path):
            _held[path] = descriptor
        else:  # it was removed by who had it, between our opening and locking it
            os.close(descriptor)


def unlock(state: Path) -> None:
    """Give the lock up and remove its file; harmless without it."""
    path = lock_of(state)
    descriptor = _held.pop(path, None)
    if descriptor is not None:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def holder(state: Path) -> int | None:
    """The process that has the lock, as the kernel says; None if none has."""
    path = lock_of(state)
    if path in _held:
        return os.getpid()
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    finally:
        os.close(descriptor)
    kind, _, _, _, pid = FLOCK.unpack(answer)
    return None if kind == fcntl.F_UNLCK else int(pid)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
