"""The command line finds commands, names the nearest right one, and stays light."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from segserve.cli.main import COMMANDS, main


def test_an_unknown_command_names_the_nearest(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["serv"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("did you mean serve?")


def test_an_unknown_flag_names_the_nearest(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["serve", "--grpc-prot=5"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("did you mean --grpc-port?")


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


def test_help_of_one_command_imports_no_heavy_library():
    code = (
        "import sys\nfrom segserve.cli.main import build_parser\nbuild_parser('segment')\n"
        "print([m for m in ('torch','onnxruntime','numba','grpc','numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout
    assert "onnxruntime" not in done.stdout


@pytest.mark.parametrize("words", [["--modle", "X"], ["--modle=X"]])
def test_a_misspelt_flag_is_named_before_the_missing_one(capsys, words):
    with pytest.raises(SystemExit) as caught:
        main(["segment", "a.png", *words])
    assert caught.value.code == 2
    reason = capsys.readouterr().err.splitlines()[-1]
    assert reason.endswith("unrecognized arguments: --modle; did you mean --model?")


def run_program(words, stdout, unbuffered=""):
    return subprocess.run(
        [sys.executable, "-m", "segserve", *map(str, words)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )


@pytest.fixture
def words_that_print(server, images):
    return [
        ["segment", images[0], "--model", "m", "--json", "--server", server.address],
        ["segment", images[0], "--model", "m", "--server", server.address],
        ["--help"],
    ]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_without_space_ends_in_one_sentence(words_that_print, unbuffered):
    for words in words_that_print:
        with Path("/dev/full").open("w") as full:
            done = run_program(words, full, unbuffered)
        assert done.returncode == 1
        (reason,) = done.stderr.splitlines()
        said = "segserve: cannot write to standard output: No space left on device: "
        assert reason.startswith(said)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_ends_quietly(words_that_print, unbuffered):
    for words in words_that_print:
        reader, writer = os.pipe()
        os.close(reader)
        done = run_program(words, writer, unbuffered)
        os.close(writer)
        assert (done.returncode, done.stderr) == (1, "")


def test_a_file_that_cannot_be_written_is_not_the_output(monkeypatch):
    def fail(options):
        raise OSError("a file of the command's")

    monkeypatch.setattr("segserve.cli.check.run", fail)
    with pytest.raises(OSError, match="a file of"):
        main(["check", "."])


def test_the_first_interrupt_ends_in_order_and_the_second_at_once():
    code = (
        "import signal, sys, time\n"
        "from segserve.cli import main as cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in background jobs
        "def wait(options):\n"
        "    try:\n"
        "        print('waits', flush=True)\n"
        "        while True: time.sleep(0.01)\n"
        "    finally:\n"
        "        print('ends', flush=True)\n"
        "        while True: time.sleep(0.01)\n"
        "cli.import_module('segserve.cli.models').run = wait\n"
        "sys.argv = ['segserve', 'models']\n"
        "cli.main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True) as program:
        try:
            for line in ("waits\n", "ends\n"):
                assert program.stdout.readline() == line
                program.send_signal(signal.SIGINT)
            assert program.wait(10) == -signal.SIGINT
            assert program.stderr.read() == ""
        finally:
            program.kill()
