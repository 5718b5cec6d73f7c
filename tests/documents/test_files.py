"""Files that are none, or have no end: refused at once, by name."""

import os
import socket

import pytest

from documents import files, strict


@pytest.fixture
def odd(tmp_path):
    """Name -> a path that is no usable file, and what is said of it."""
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 10 << 30)  # takes no room on the disk
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        yield {
            "/dev/zero": "is not a regular file",
            str(tmp_path / "large"): "is larger than 16,777,216 bytes",
            str(tmp_path / "folder"): "Is a directory",
            str(tmp_path / "fifo"): "is not a regular file",
            str(tmp_path / "socket"): "No such device or address",
            str(tmp_path / "absent"): "No such file or directory",
        }


def test_what_is_no_file_is_refused_at_once(odd):
    for path, why in odd.items():
        with pytest.raises(OSError, match=why) as refused:
            files.read_text(path)
        assert refused.value.filename == path


def test_a_document_that_is_no_file_is_one_line(odd, tmp_path):
    for path, why in odd.items():
        with pytest.raises(strict.DocumentError, match=f"^{path}: cannot be read: .*{why}"):
            strict.read(tmp_path / path, dict)


def test_a_limit_holds_also_for_files_whose_size_nobody_knows(tmp_path):
    with pytest.raises(OSError, match="is larger than 10 bytes"):
        files.read_text("/proc/self/status", limit=10)
    assert files.read_text("/proc/self/comm", limit=16)
    (tmp_path / "ten").write_text("0123456789")
    assert files.read_text(tmp_path / "ten", limit=10) == "0123456789"


def test_a_link_is_followed_or_refused(tmp_path):
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    assert files.read_text(tmp_path / "link") == "text"
    with pytest.raises(OSError, match="is a symbolic link"):
        files.read_text(tmp_path / "link", follow=False)
