"""What is known again after a restart, if the operator names a directory for it: definitions, thresholds, groups, maps,
the topology, and to whom sFlow is passed on.

Each is a document: a JSON file of its name, in the words in which clients set it. A request that changes one is
answered when its file is on disk (api/middleware.py): written beside, synced, and renamed over the old one, so that
whatever ends the program leaves one of the two whole. At the start the files are read, and whatever can be used of them
is. One that cannot, in whole or in part, is named in one line of the log and kept as NAME.json.bad.

The directory is opened before root becomes another user, who has to be able to write there; one that we make is given
to that user. Cost: each document is compared once per writing request, and one that changed is written whole: 10,000
thresholds have about a megabyte.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from documents.files import MAX_TEXT, open_regular

log = logging.getLogger(__name__)

SHOWN = 3  # problems of a document that are named


@dataclass(frozen=True)
class Document:
    """`current`: what it holds now, a new object when that has changed; `words`: the same as JSON; `restore`: take
    such words in, and say what is wrong with some of them. ValueError: with all."""

    name: str
    current: Callable[[], object]
    words: Callable[[Any], object]
    restore: Callable[[dict[str, Any]], Iterator[str]]


def open_folder(path: str, give: Callable[[int], None]) -> int:
    """A descriptor of the directory, which is made if there is none, with `give` to make it its user's. OSError: it
    cannot be made or opened."""
    made = False
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
        made = True
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if made:
        give(folder)
    return folder


class State:
    """Documents in the open directory `folder`, called `path`."""

    def __init__(self, folder: int, path: str, documents: Sequence[Document]) -> None:
        self._folder, self._path = folder, path
        self._documents = documents
        self._kept: dict[str, object] = {}
        self._saving = threading.Lock()

    def restore(self) -> None:
        """Take in what the files hold, and write anew what was bad; before `save`. OSError: we cannot write there."""
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=self._folder, effective_ids=True):
            raise OSError(f"state {self._path}: user {os.geteuid()} cannot write there")
        for document in self._documents:
            file = f"{document.name}.json"
            problems = list(self._restored(document, file))
            self._kept[document.name] = None if problems else document.current()
            if problems:
                with contextlib.suppress(OSError):
                    os.rename(file, f"{file}.bad", src_dir_fd=self._folder, dst_dir_fd=self._folder)
                more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
                said = "; ".join(problems[:SHOWN])
                log.error("state %s/%s: %s%s; the file is kept as %s.bad", self._path, file, said, more, file)
        self.save()

    def _restored(self, document: Document, file: str) -> Iterator[str]:
        try:
            with open_regular(file, follow=False, folder=self._folder) as opened:
                content = opened.read(MAX_TEXT + 1)
            if len(content) > MAX_TEXT:
                raise ValueError(f"has more than {MAX_TEXT} bytes")
            yield from document.restore(msgspec.json.decode(content, type=dict[str, Any]))
        except FileNotFoundError:
            return
        except OSError as fault:
            yield str(fault.strerror)
        except (ValueError, RecursionError) as fault:
            yield str(fault)

    def save(self) -> None:
        """Write what has changed. OSError: it cannot be written; it is tried again at the next change."""
        with self._saving:
            for document in self._documents:
                current = document.current()
                if current != self._kept[document.name]:
                    self._write(f"{document.name}.json", msgspec.json.encode(document.words(current)))
                    self._kept[document.name] = current

    def _write(self, file: str, content: bytes) -> None:
        beside = f"{file}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(beside, flags, 0o600, dir_fd=self._folder), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.rename(beside, file, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        os.fsync(self._folder)


def each_of(put: Callable[[str, Any], object]) -> Callable[[Mapping[str, Any]], Iterator[str]]:
    """Restores a document that has an entry per name."""

    def restore(words: Mapping[str, Any]) -> Iterator[str]:
        for name, entry in words.items():
            try:
                put(name, entry)
            except ValueError as fault:
                yield str(fault)

    return restore
