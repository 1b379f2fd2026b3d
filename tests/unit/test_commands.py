"""Child processes: exit statuses, stderr, early ends, secrets by descriptor."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.commands import (
    SecretFile,
    find_programs,
    output,
    reading,
    writing,
)
from ansible_collections.vya.backupdb.plugins.module_utils.errors import ToolFailedError, ToolMissingError

PYTHON = sys.executable


def python(code: str) -> list[str]:
    return [PYTHON, "-c", code]


def test_output() -> None:
    assert output(python("print('hello')")) == "hello\n"


def test_a_missing_program() -> None:
    with pytest.raises(ToolMissingError, match="/nowhere/tool is not installed"):
        output(["/nowhere/tool"])


def test_a_program_that_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError, match="cannot be run: Permission denied"):
        output([str(tmp_path)])


def test_the_exit_status_and_the_words_of_a_failure() -> None:
    with pytest.raises(ToolFailedError, match=r"ended with status 3: the disk is gone"):
        output(python("import sys; print('x'); print('the disk is gone', file=sys.stderr); sys.exit(3)"))


def test_a_silent_failure() -> None:
    with pytest.raises(ToolFailedError, match=r"ended with status 1 and said nothing"):
        output(python("raise SystemExit(1)"))


def test_death_by_signal_after_all_bytes_were_read() -> None:
    code = "import os, sys; sys.stdout.write('x' * 10); sys.stdout.flush(); os.kill(os.getpid(), 9)"
    with pytest.raises(ToolFailedError, match="was ended by signal 9"):
        output(python(code))


def test_stderr_is_bounded_and_redacted() -> None:
    code = "import sys; sys.stderr.write('y' * 1000000 + ' hunter2'); sys.exit(1)"
    with pytest.raises(ToolFailedError) as caught:
        output(python(code), redact=lambda text: text.replace("hunter2", "***"))
    assert len(str(caught.value)) < 20_000
    assert str(caught.value).endswith("***")


def test_a_reader_that_fails_ends_the_child() -> None:
    started = time.monotonic()
    with (
        pytest.raises(ZeroDivisionError),
        reading(python("import time; print('x', flush=True); time.sleep(60)")) as stream,
    ):
        stream.read(1)
        raise ZeroDivisionError
    assert time.monotonic() - started < 30


def test_an_interrupt_while_a_child_ends_kills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = subprocess.Popen.wait, []

    def wait(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        asked.append(process)
        if len(asked) == 1:
            raise KeyboardInterrupt
        return real(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", wait)
    with pytest.raises(KeyboardInterrupt), writing(python("import time; time.sleep(60)")):
        pass
    assert asked[0].returncode == -signal.SIGKILL


def test_writing(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with target.open("wb") as file, writing(["cat"], stdout=file) as stream:
        stream.write(b"data")
    assert target.read_bytes() == b"data"


def test_a_child_that_stops_reading_is_told_by_its_own_words() -> None:
    code = "import sys; sys.stdin.read(1); print('relation exists', file=sys.stderr); sys.exit(3)"
    with pytest.raises(ToolFailedError, match="ended with status 3: relation exists"), writing(python(code)) as stream:
        for _chunk in range(100):
            stream.write(b"x" * 100_000)


def test_a_child_that_stops_reading_without_a_word() -> None:
    with (
        pytest.raises(ToolFailedError, match="stopped reading before the end of its input"),
        writing(python("import sys; sys.stdin.read(1)")) as stream,
    ):
        for _chunk in range(100):
            stream.write(b"x" * 100_000)


def test_a_writer_that_fails_never_shows_the_child_an_end_of_input(tmp_path: Path) -> None:
    marker = tmp_path / "saw-the-end"
    code = f"import sys, pathlib; sys.stdin.read(); pathlib.Path({str(marker)!r}).touch()"
    with pytest.raises(ZeroDivisionError), writing(python(code)) as stream:
        stream.write(b"half")
        stream.flush()
        raise ZeroDivisionError
    assert not marker.exists()


def test_a_secret_file_is_private_and_can_be_opened_more_than_once() -> None:
    secret = SecretFile("geheim ü")
    code = "import os, sys; p = sys.argv[1]; print(open(p).read(), open(p).read(), oct(os.stat(p).st_mode & 0o777))"
    assert output([*python(code), secret.path], pass_fds=[secret.fd]) == "geheim ü geheim ü 0o600\n"
    secret.close()
    secret.close()
    assert not Path(f"/proc/self/fd/{secret.fd}").exists()


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    for folder in ("v1", "v2", "path"):
        (tmp_path / folder).mkdir()
        tool = tmp_path / folder / "tool"
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
    (tmp_path / "path" / "plain").write_text("no program")
    (tmp_path / "same").symlink_to("path")
    return tmp_path


def test_programs_are_found_in_folders_newest_first(installed: Path) -> None:
    assert find_programs(["tool", "plain"], [f"{installed}/v*"]) == [f"{installed}/v2/tool", f"{installed}/v1/tool"]


def test_programs_are_found_on_the_path_once(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [installed / "path", "", installed / "v1", installed / "same"]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, folders)))
    assert find_programs(["tool", "plain"]) == [f"{installed}/path/tool", f"{installed}/v1/tool"]
