"""The command line finds commands, names the nearest right one, and stays light."""

import subprocess
import sys

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
