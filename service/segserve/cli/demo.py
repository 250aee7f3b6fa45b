"""``make demo``: the whole way once, from an image file to masks, against a real server.

Starts ``segserve serve`` on the bundled models, sends a photograph and a synthetic scene with the
project's own client, prints what came back, writes the overlays, and stops the server.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

MODEL = "deeplabv3plus_demo"
SCENE_SEED = 20_250
SCENE_SIZE_PX = (375, 500)
_START_TIMEOUT_S = 120


@contextmanager
def running_server(model_repository: Path, log_path: Path, model: str = MODEL) -> Iterator[int]:
    """Serve one model on free ports; gives the gRPC port once it is ready, and stops it after.

    Raises
    ------
    RuntimeError
        When the server ends before it is ready; its log is named.
    """
    command = [sys.executable, "-m", "segserve", "serve"]
    command += ["--model-repository", str(model_repository)]
    command += ["--model-control-mode", "explicit", "--load-model", model]
    command += ["--grpc-address", "127.0.0.1", "--http-address", "127.0.0.1"]
    command += ["--metrics-address", "127.0.0.1"]
    command += ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]
    with (
        log_path.open("w") as log,
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server,  # noqa: S603  our own program
    ):
        try:
            yield _wait_ready(server, log, log_path)
        finally:
            server.send_signal(signal.SIGTERM)
            _, rest = server.communicate(timeout=_START_TIMEOUT_S)
            log.write(rest)


def _wait_ready(server: subprocess.Popen[str], log: TextIO, log_path: Path) -> int:
    port = 0
    for line in server.stderr or ():
        print(line, end="", file=log)
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "listening" and event["protocol"] == "grpc":
            port = event["port"]
        if event.get("event") == "ready":
            return port
        if event.get("event") in ("started", "server_failed"):
            break
    raise RuntimeError(f"the server did not become ready; its log is {log_path}")


def _write_scene(path: Path) -> None:
    from PIL import Image

    from segserve.scenes import make_scene

    scene = make_scene(SCENE_SEED, *SCENE_SIZE_PX)
    Image.fromarray(scene.image).save(path)


def main() -> int:
    """Run the demo from a clone of the project; 0 when both images were segmented."""
    from segserve.cli import segment

    root = Path(__file__).resolve().parents[3]
    out = root / "build" / "demo"
    out.mkdir(parents=True, exist_ok=True)
    scene_path = out / "scene.png"
    _write_scene(scene_path)
    images = {root / "docs" / "images" / "coffee.jpg": "photo", scene_path: "scene"}
    print(f"starting segserve on {root / 'model_repository'} ...", flush=True)
    code = 0
    with running_server(root / "model_repository", out / "server.log") as port:
        for image, name in images.items():
            overlay = out / f"{name}_overlay.png"
            parser = argparse.ArgumentParser()
            segment.add_parser(parser.add_subparsers(dest="command"))
            arguments = ["segment", str(image), "--model", MODEL, "--overlay", str(overlay)]
            arguments += ["--server", f"127.0.0.1:{port}"]
            code |= segment.run(parser.parse_args(arguments))
            print(flush=True)
    print("server stopped cleanly")
    return code


if __name__ == "__main__":
    sys.exit(main())
