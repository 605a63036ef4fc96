"""A state file holds its old bytes or its new ones; a full disk is told to who writes."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from busbar.store import FileStore, MemoryStore


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore | MemoryStore:
    return FileStore(tmp_path / "state" / "x") if request.param == "file" else MemoryStore()


def test_what_was_written_is_read_and_the_newest_wins(store: FileStore | MemoryStore) -> None:
    assert store.read("epoch") is None
    store.write("epoch", b"1")
    store.write("epoch", b"22")
    store.write("checkpoint.json", b"{}")
    assert (store.read("epoch"), store.read("checkpoint.json")) == (b"22", b"{}")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 200])
def test_a_name_that_would_leave_the_directory_is_refused(store: FileStore | MemoryStore, name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        store.write(name, b"")
    with pytest.raises(ValueError, match="not a name"):
        store.read(name)


def test_another_instance_of_the_store_reads_the_same_files(tmp_path: Path) -> None:
    FileStore(tmp_path).write("epoch", b"7")
    assert FileStore(tmp_path).read("epoch") == b"7"
    assert [path.name for path in tmp_path.iterdir()] == ["epoch"]


def test_a_write_that_fails_leaves_the_old_bytes_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path)
    store.write("epoch", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write("epoch", b"new")
    assert store.read("epoch") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["epoch"]


def test_a_full_disk_in_memory_refuses_and_keeps(tmp_path: Path) -> None:
    store = MemoryStore()
    store.write("epoch", b"old")
    store.full = True
    with pytest.raises(OSError, match="No space left"):
        store.write("epoch", b"new")
    assert store.read("epoch") == b"old"
