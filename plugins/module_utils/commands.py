# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes: argument lists only, never a shell; every exit status checked; what they say on stderr is kept."""

from __future__ import annotations

import array
import fcntl
import glob
import io
import os
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from . import stopping
from .errors import ToolFailedError, ToolMissingError

PIPE_BYTES = 1 << 20
ENOUGH_BYTES = 128 << 10
GATHERING_SECONDS = 0.001
STDERR_BYTES = 16 << 10
TERMINATE_SECONDS = 5.0

Redact = Callable[[str], str]


def _as_is(text: str) -> str:
    return text


class SecretFile:
    """A file that only this process and the children it is passed to can read, and that is never on a disk.

    Pass ``fd`` in ``pass_fds`` and name ``path`` in the child's arguments. Each open of the path starts at byte 0
    (memfd_create(2), proc(5)).
    """

    def __init__(self, content: str) -> None:
        self.fd = os.memfd_create("vya-backupdb", os.MFD_CLOEXEC)
        os.fchmod(self.fd, 0o600)
        with os.fdopen(os.dup(self.fd), "wb") as stream:
            stream.write(content.encode())
        self.path = f"/dev/fd/{self.fd}"

    def close(self) -> None:
        with suppress(OSError):
            os.close(self.fd)


class _Gathering(io.RawIOBase):
    """The reading end of a pipe. A large read of little waits a moment for more to come together.

    Programs write a few thousand bytes at a time, and to be woken for each costs both sides more than the bytes do.
    """

    def __init__(self, pipe: io.FileIO) -> None:
        self._pipe = pipe
        self._there = array.array("i", [0])

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._pipe.fileno()

    def readinto(self, buffer: Any) -> int:
        if len(buffer) >= ENOUGH_BYTES:
            fcntl.ioctl(self._pipe, termios.FIONREAD, self._there)
            if self._there[0] < ENOUGH_BYTES:
                time.sleep(GATHERING_SECONDS)
        return self._pipe.readinto(buffer) or 0

    def close(self) -> None:
        self._pipe.close()
        super().close()


class Child:
    """A running child process. Make one through ``reading``, ``writing`` or ``output`` where those fit."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        env: Mapping[str, str] | None = None,
        pass_fds: Iterable[int] = (),
        redact: Redact = _as_is,
    ) -> None:
        self.name = Path(argv[0]).name
        self._redact = redact
        try:
            self._process = subprocess.Popen(
                list(argv),
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
                pass_fds=tuple(pass_fds),
                pipesize=PIPE_BYTES,
            )
        except FileNotFoundError:
            raise ToolMissingError(f"{argv[0]} is not installed.") from None
        except OSError as error:
            raise ToolFailedError(f"{argv[0]} cannot be run: {os.strerror(error.errno or 0)}.") from None
        self._cut = stopping.add_cut(self._process.kill)
        self._stdout: io.BufferedReader | None = None
        if self._process.stdout:
            pipe = cast(io.BufferedReader, self._process.stdout).detach()
            self._stdout = io.BufferedReader(_Gathering(cast(io.FileIO, pipe)))
        self._stderr = bytearray()
        self._drain = threading.Thread(target=self._keep_stderr, daemon=True)
        self._drain.start()

    @property
    def stdin(self) -> BinaryIO:
        return cast(BinaryIO, self._process.stdin)

    @property
    def stdout(self) -> BinaryIO:
        return cast(BinaryIO, self._stdout)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def status(self) -> int | None:
        """How the child ended: its exit status, or the negative number of the signal; None where it has not."""
        return self._process.returncode

    def _keep_stderr(self) -> None:
        stream = cast(IO[bytes], self._process.stderr)
        with suppress(ValueError, OSError):
            while chunk := stream.read1(4096):  # type: ignore[attr-defined]
                self._stderr += chunk
                del self._stderr[:-STDERR_BYTES]

    @property
    def stderr_lines(self) -> list[str]:
        """What the child said line by line, for our own use: not redacted, and whole only after ``finish``."""
        return self._stderr.decode(errors="replace").splitlines()

    def stderr(self) -> str:
        """The last words of the child, redacted. Whole only after ``finish`` or ``kill``."""
        return self._redact(self._stderr.decode(errors="replace")).strip()

    def _end(self) -> int:
        for stream in (self._process.stdin, self._stdout):
            if stream:
                with suppress(OSError):
                    stream.close()
        status = self._process.wait()
        stopping.drop_cut(self._cut)
        self._drain.join(TERMINATE_SECONDS)
        cast(IO[bytes], self._process.stderr).close()
        return status

    def finish(self) -> None:
        """Closes the pipes, waits for the end, and raises ToolFailedError unless the exit status is 0. An interrupt
        kills the child."""
        try:
            status = self._end()
        except BaseException:
            self.kill()
            raise
        if status:
            how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
            said = self.stderr()
            raise ToolFailedError(f"{self.name} {how}: {said}" if said else f"{self.name} {how} and said nothing.")

    def kill(self) -> None:
        """Ends the child at once. It sees no end of its input before it dies, so it can't take a cut for the end."""
        if self.running:
            self._process.kill()
        self._end()


@contextmanager
def ending(child: Child) -> Iterator[Child]:
    """Ends a child with the context: by ``finish``, or by ``kill`` where an exception leaves it."""
    try:
        yield child
    except BaseException:
        child.kill()
        raise
    child.finish()


@contextmanager
def reading(
    argv: Sequence[str],
    *,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    pass_fds: Iterable[int] = (),
    redact: Redact = _as_is,
) -> Iterator[BinaryIO]:
    """Runs a command and gives its standard output. Leaving cleanly raises ToolFailedError unless it ended with 0."""
    child = Child(argv, stdin=stdin, stdout=subprocess.PIPE, env=env, pass_fds=pass_fds, redact=redact)
    with ending(child):
        yield child.stdout


@contextmanager
def writing(
    argv: Sequence[str],
    *,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    pass_fds: Iterable[int] = (),
    redact: Redact = _as_is,
) -> Iterator[BinaryIO]:
    """Runs a command and gives its standard input. Leaving cleanly raises ToolFailedError unless it ended with 0.

    A command that ends before it has read everything is reported by its own words, not as a broken pipe.
    """
    child = Child(argv, stdin=subprocess.PIPE, stdout=stdout, env=env, pass_fds=pass_fds, redact=redact)
    try:
        yield child.stdin
        child.stdin.close()
    except BrokenPipeError:
        child.finish()
        raise ToolFailedError(f"{child.name} stopped reading before the end of its input.") from None
    except BaseException:
        child.kill()
        raise
    child.finish()


def output(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    pass_fds: Iterable[int] = (),
    redact: Redact = _as_is,
) -> str:
    """Runs a command to its end and returns what it printed; ToolFailedError unless it ended with 0."""
    with reading(argv, env=env, pass_fds=pass_fds, redact=redact) as stream:
        return stream.read().decode(errors="replace")


def find_programs(names: Sequence[str], folders: Sequence[str] | None = None) -> list[str]:
    """Absolute paths of the executables of these names in the folders (globs allowed, the last in order first), or else
    on PATH."""
    if folders is None:
        searched = os.environ.get("PATH", os.defpath).split(os.pathsep)
    else:
        searched = [folder for pattern in folders for folder in sorted(glob.glob(pattern), reverse=True)]  # noqa: PTH207
    once: dict[str, str] = {}
    for folder in filter(None, searched):
        once.setdefault(os.path.realpath(folder), folder)
    paths = [Path(folder, name) for name in names for folder in once.values()]
    return [str(path) for path in paths if path.is_file() and os.access(path, os.X_OK)]
