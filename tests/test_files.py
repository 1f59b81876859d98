"""Files of the user: whole or not at all, devices and pipes written to, links followed; locks end with their holder."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from crossent._system import files

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="devices, links and locks as Unix has them")
HOLD = """
import pathlib, sys
from crossent._system import files
with files.lock(pathlib.Path("lock")):
    print("held", flush=True)
    sys.stdin.read()
"""
WRITE = "import sys; from crossent._system import files; files.write(sys.argv[1], b'new')"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_and_folders_are_made(tmp_path):
    path = tmp_path / "deep" / "er" / "p.csv"
    for content in (b"", b"old", b"new" * 1_000_000):
        files.write(path, content)
        assert path.read_bytes() == content
    assert names(path.parent) == ["p.csv"]


@pytest.mark.parametrize("call", ["write", "fsync", "fchmod"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_whatever_fails_the_old_content_stays(tmp_path, monkeypatch, call, code):
    (tmp_path / "p.csv").write_bytes(b"old")

    def fails(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        files.write(tmp_path / "p.csv", b"new")
    assert caught.value.filename == str(tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_bytes() == b"old"
    assert names(tmp_path) == ["p.csv"]


@pytest.mark.parametrize("taken", [1, 7])
def test_a_system_that_takes_few_bytes_at_a_time_gets_all(tmp_path, monkeypatch, taken):
    whole = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: whole(descriptor, content[:taken]))
    files.write(tmp_path / "p", bytes(range(100)))
    assert (tmp_path / "p").read_bytes() == bytes(range(100))


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_permissions_stay(tmp_path, mode):
    path = tmp_path / "p"
    path.write_bytes(b"old")
    path.chmod(mode)
    files.write(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_links_are_followed_and_stay(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "p.csv").write_bytes(b"old")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("real/p.csv")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "dangling").symlink_to("real/new.csv")
    for name, target in (("one", "p.csv"), ("folder/p.csv", "p.csv"), ("dangling", "new.csv")):
        files.write(tmp_path / name, name.encode())
        assert (tmp_path / "real" / target).read_bytes() == name.encode()
    assert all((tmp_path / name).is_symlink() for name in ("one", "two", "folder", "dangling"))
    assert names(tmp_path / "real") == ["new.csv", "p.csv"]


def test_a_circle_of_links_and_a_folder_are_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for path in (tmp_path / "a", tmp_path):
        with pytest.raises(OSError, match=r"links|folder"):
            files.write(path, b"new")


def test_devices_are_written_to_and_stay_devices():
    before = Path(os.devnull).stat()
    files.write(os.devnull, b"new")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    assert Path(os.devnull).stat().st_ino == before.st_ino


def test_a_device_of_ones_own_is_written_to(tmp_path):
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.write_bytes(b"")
    except OSError:
        pytest.skip("devices are made by root alone")
    files.write(device, b"new")
    assert stat.S_ISCHR(device.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_full_device_is_an_error_and_stays():
    with pytest.raises(OSError, match="No space left"):
        files.write("/dev/full", b"new")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    files.write(tmp_path / "pipe", b"new" * 100_000)
    reader.join()
    assert read == [b"new" * 100_000]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_standard_output_is_written_to(tmp_path, name, mode):
    if name == "link":
        (tmp_path / "link").symlink_to("/dev/stdout")
    elif not Path(name).exists():
        pytest.skip("this system has no such name")
    (tmp_path / "out").write_bytes(b"before,")
    with (tmp_path / "out").open(mode) as out:
        subprocess.run([sys.executable, "-c", WRITE, name], stdout=out, cwd=tmp_path, check=True)
    assert (tmp_path / "out").read_bytes() == (b"before,new" if mode == "ab" else b"new")
    done = subprocess.run([sys.executable, "-c", WRITE, name], stdout=subprocess.PIPE, cwd=tmp_path, check=True)
    assert done.stdout == b"new"


def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "p").write_bytes(b"old")
    (tmp_path / "p").chmod(0o444)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may do all
    with pytest.raises(PermissionError):
        files.write(tmp_path / "p", b"new")
    assert (tmp_path / "p").read_bytes() == b"old"


@pytest.mark.parametrize("length", [1, 100, 200, 255])
def test_long_names(tmp_path, length):
    files.write(tmp_path / ("é" * (length // 2) + "x" * (length % 2)), b"new")
    with pytest.raises(OSError, match="File name too long"):
        files.write(tmp_path / ("x" * 300), b"new")


def test_what_a_killed_writer_leaves_is_cleared_and_what_a_living_one_writes_is_not(tmp_path):
    path, other = tmp_path / "p[1]*.csv", tmp_path / "p1.csv"
    stale, foreign = (files._temporary(one) for one in (path, other))
    os.close(stale[1])
    living, descriptor = files._temporary(path)
    files.write(path, b"new")
    assert not stale[0].exists()
    assert living.exists()
    assert foreign[0].exists()
    for one in (descriptor, foreign[1]):
        os.close(one)


# --- locks ------------------------------------------------------------------------------------------------------------


def test_a_lock_has_one_holder_and_leaves_nothing(tmp_path):
    path = tmp_path / "lock"
    for _ in range(2):
        with files.lock(path):
            with pytest.raises(files.LockedError), files.lock(path):
                pass
            assert path.exists()
        assert names(tmp_path) == []


def test_a_lock_of_another_process_ends_with_it(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(files.LockedError), files.lock(tmp_path / "lock"):
            pass
        other.kill()
        other.wait()
    assert (tmp_path / "lock").exists()
    with files.lock(tmp_path / "lock"):
        pass
    assert names(tmp_path) == []


def test_many_threads_hold_a_lock_one_at_a_time(tmp_path):
    inside, most, turns = [0], [0], [0]

    def work():
        while turns[0] < 200:
            try:
                with files.lock(tmp_path / "lock"):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    time.sleep(0)
                    inside[0] -= 1
                    turns[0] += 1
            except files.LockedError:
                time.sleep(0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_what_can_be_read_to_its_end(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert files.regular_file(tmp_path / "file") == files.regular_file(tmp_path / "link") == 3
    for path, text in ((tmp_path, "folder"), (tmp_path / "pipe", "a pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(OSError, match=text):
            files.regular_file(path)
    with pytest.raises(FileNotFoundError):
        files.regular_file(tmp_path / "none")
