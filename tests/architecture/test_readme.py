"""What the README says to type is typed, against a real server; nothing in it is left unrun."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from segserve.cli.main import build_parser

NEEDS_A_CHECKPOINT = "--checkpoint"  # tests/parity/test_served.py makes one, and runs the command
START_S = 60


def blocks(root: Path, language: str) -> list[str]:
    text = (root / "README.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(root: Path) -> list[str]:
    return [line for block in blocks(root, "sh") for line in block.splitlines() if line.strip()]


ROOT = Path(__file__).resolve().parents[2]
TYPED = [line for line in commands(ROOT) if not line.startswith(("make ", "segserve serve"))]


@dataclass(frozen=True)
class Place:
    """A folder that looks like the clone, and a server that runs in it."""

    folder: Path
    grpc_port: int
    http_port: int

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
        return subprocess.run(
            ["env", f"PATH={path}", *words],
            cwd=self.folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
        )

    def at_our_ports(self, text: str) -> str:
        text = text.replace("localhost:8001", f"127.0.0.1:{self.grpc_port}")
        return text.replace("localhost:8000", f"127.0.0.1:{self.http_port}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The README's own serve command, on free ports."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("docs", "model_repository"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "build").mkdir()
    [serve] = [line for line in commands(ROOT) if line.startswith("segserve serve")]
    ports = [word for p in ("grpc", "http", "metrics") for word in (f"--{p}-port", "0")]
    process = subprocess.Popen(
        [sys.executable, "-m", *shlex.split(serve), *ports],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(START_S, process.kill)
    watchdog.start()
    found: dict[str, int] = {}
    log: list[str] = []
    for line in process.stderr:
        log.append(line)
        event = json.loads(line) if line.startswith("{") else {"event": ""}
        if event["event"] == "listening":
            found[event["protocol"]] = event["port"]
        if event["event"] == "ready":
            break
    watchdog.cancel()
    rest = threading.Thread(target=process.stderr.read)
    rest.start()
    try:
        assert '"ready"' in log[-1], f"not ready within {START_S} s: {''.join(log)}"
        yield Place(folder, found["grpc"], found["http"])
    finally:
        process.terminate()
        code = process.wait(40)
        rest.join()
        process.stderr.close()
    assert code == 0


def test_first_screen_is_two_commands(repo_root: Path) -> None:
    assert [block.strip() for block in blocks(repo_root, "sh")[:2]] == ["make demo", "make test"]


def test_ci_runs_every_make_command(repo_root: Path) -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)", (repo_root / "README.md").read_text()))
    run = re.findall(r"^make ([a-z-]+)$", (repo_root / ".ci" / "run").read_text(), re.MULTILINE)
    assert named
    assert named <= set(run)


def test_every_command_is_of_a_kind_that_is_run() -> None:
    assert {line.split()[0] for line in TYPED} <= {"segserve", "curl"}


@pytest.mark.parametrize("line", TYPED)
def test_command_works(place: Place, line: str) -> None:
    words = shlex.split(place.at_our_ports(line))
    if NEEDS_A_CHECKPOINT in words:
        build_parser(words[1]).parse_args(words[1:])
        return
    if shutil.which(words[0], path=f"{Path(sys.executable).parent}:{os.defpath}") is None:
        pytest.skip(f"{words[0]} is not installed")
    if words[:2] in (["segserve", "segment"], ["segserve", "models"]):
        words += ["--server", f"127.0.0.1:{place.grpc_port}"]
    done = place.run(words)
    assert done.returncode == 0, done.stderr
    if words[0] == "curl":
        answer = (place.folder / words[words.index("-o") + 1]).read_bytes()
        assert json.JSONDecoder().raw_decode(answer.decode("latin-1"))[0]["outputs"]
        return
    assert done.stdout
    if "--json" in words:
        assert all(json.loads(row)["model"] for row in done.stdout.splitlines())
    if "--overlay" in words:
        assert (place.folder / words[words.index("--overlay") + 1]).stat().st_size > 0


@pytest.mark.parametrize("code", blocks(ROOT, "python"))
def test_python_block_runs(place: Place, code: str) -> None:
    done = place.run([sys.executable, "-c", place.at_our_ports(code)])
    assert done.returncode == 0, done.stderr
    assert done.stdout
