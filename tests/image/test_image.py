"""The container image is built, run as a cautious operator would, asked, and stopped."""

import io
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from segserve.client import Client

pytestmark = pytest.mark.image

TOOLS = ("buildah", "podman", "runc", "mmdebstrap")
MAX_IMAGE_BYTES = 700_000_000
BASE_FILE = "build/image/base.tar"
BASE = "localhost/python:3.11-slim"
IMAGE = "localhost/segserve:test"
CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
# What this machine's pip and TLS need to reach a package index, during the build alone.
BUILD_MOUNTS = ("/etc/ssl/certs", "/etc/pip.conf")


@dataclass(frozen=True)
class Tools:
    """Container tools with a storage of their own."""

    env: tuple[str, ...]

    def run(self, *command: str, timeout_s: float = 900) -> str:
        done = subprocess.run(
            ["env", *self.env, *command],
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        tail = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert done.returncode == 0, f"{' '.join(command)}\n{tail}"
        return done.stdout.strip()

    def log(self, container: str) -> str:
        command = ["env", *self.env, "podman", "logs", container]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tools]:
    missing = [name for name in TOOLS if shutil.which(name) is None]
    if missing or os.getuid() != 0:
        pytest.skip(f"needs root and {' '.join(TOOLS)}; missing: {' '.join(missing) or 'root'}")
    folder = tmp_path_factory.mktemp("containers")
    (folder / "containers.conf").write_text(CONTAINERS_CONF)
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
    )
    kit = Tools(
        (
            f"CONTAINERS_CONF={folder}/containers.conf",
            f"CONTAINERS_STORAGE_CONF={folder}/storage.conf",
        )
    )
    yield kit
    kit.run("podman", "rm", "--all", "--force")
    kit.run("podman", "rmi", "--all", "--force")


@pytest.fixture(scope="module")
def image(tools: Tools, repo_root: Path) -> str:
    tools.run("make", "--directory", str(repo_root), "image-base")
    tools.run("podman", "import", str(repo_root / BASE_FILE), BASE)
    mounts = [f"--volume={path}:{path}:ro" for path in BUILD_MOUNTS if Path(path).exists()]
    started_s = time.monotonic()
    tools.run(
        *("buildah", "bud", "--pull-never", "--isolation", "oci", "--runtime", "runc"),
        *("--format", "docker", "--build-arg", f"BASE_IMAGE={BASE}", *mounts),
        *("--tag", IMAGE, str(repo_root)),
    )
    print(f"\nbuilt in {time.monotonic() - started_s:.0f} s")
    return IMAGE


@pytest.fixture(scope="module")
def container(tools: Tools, image: str, repo_root: Path) -> str:
    """A running server: read-only root, no capability, no port of the host taken by name."""
    ports = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
    return tools.run(
        *("podman", "run", "--detach", "--network", "host", "--read-only", "--tmpfs", "/tmp"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--no-healthcheck"),
        *("--volume", f"{repo_root}/model_repository:/models:ro"),
        *(image, "--model-repository", "/models", *ports),
    )


def wait_until_ready(tools: Tools, container: str, *, timeout_s: float = 60) -> list[dict]:
    """Follow the log, which costs the server's cores nothing, as asking again and again would."""
    command = ["env", *tools.env, "podman", "logs", "--follow", container]
    events: list[dict] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as log:
        watchdog = threading.Timer(timeout_s, log.kill)
        watchdog.start()
        try:
            for line in log.stdout:
                events += [json.loads(line)] if line.startswith("{") else []
                if events and events[-1]["event"] == "ready":
                    return events
        finally:
            watchdog.cancel()
            log.kill()
    raise AssertionError(f"not ready in {timeout_s:.0f} s: {tools.log(container)}")


def test_image_is_small_and_unprivileged(tools: Tools, image: str) -> None:
    about = json.loads(tools.run("podman", "image", "inspect", image))[0]
    print(f"\nimage: {about['Size'] / 1e6:.0f} MB")
    assert about["Size"] <= MAX_IMAGE_BYTES
    assert about["Config"]["User"] == "10001:10001"
    assert about["Config"]["StopSignal"] in ("SIGTERM", "15")
    assert "ORT_DISABLE_TELEMETRY=1" in about["Config"]["Env"]
    assert about["Healthcheck"]["Test"][:2] == ["CMD", "python3"]


def test_image_holds_no_tests_and_no_installer(tools: Tools, image: str) -> None:
    found = tools.run(
        *("podman", "run", "--rm", "--network", "none", "--entrypoint", "find", image),
        *("/opt/segserve", "-name", "tests", "-o", "-name", "pip", "-o", "-name", "torch"),
    )
    assert found == ""


def test_a_running_container_answers_and_stops(
    tools: Tools, container: str, repo_root: Path
) -> None:
    started_s = time.monotonic()
    events = wait_until_ready(tools, container)
    print(f"\nready {time.monotonic() - started_s:.1f} s after the container's start")
    kernels = [event for event in events if event["event"].startswith("kernels_")]
    print(f"kernels loaded in {sum(event['seconds'] for event in kernels):.1f} s")
    assert kernels
    assert sum(event["compiled"] for event in kernels) == 0
    port = next(line["port"] for line in events if line.get("protocol") == "grpc")
    photo = io.BytesIO()
    Image.new("RGB", (160, 120), "teal").save(photo, "JPEG")
    with Client(f"127.0.0.1:{port}") as client:
        result = client.segment(photo.getvalue(), "deeplabv3plus_demo")
    assert (result.width_px, result.height_px) == (160, 120)
    tools.run("podman", "stop", "--time", "30", container)
    assert tools.run("podman", "inspect", "--format", "{{.State.ExitCode}}", container) == "0"
