"""``make demo``: the whole way once, from an image file to masks, against a real server.

Starts ``segserve serve`` on the bundled models, sends a photograph and a synthetic scene with the
project's own client, the scene to a model of each other family too, prints what came back, writes
the overlays, and stops the server.
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
SHOWN_SCORE = 0.5
OTHERS = {
    "mask_rcnn_demo": SHOWN_SCORE,
    "yolact_demo": SHOWN_SCORE,
    "solov2_demo": SHOWN_SCORE,
    "pointrend_demo": SHOWN_SCORE,
    "pointrend_semantic_demo": None,  # labels of a map have no scores
}
SCENE_SEED = 20_251
SCENE_SIZE_PX = (375, 500)
_START_TIMEOUT_S = 120


@contextmanager
def running_server(model_repository: Path, log_path: Path, *models: str) -> Iterator[int]:
    """Serve models on free ports; gives the gRPC port once they are ready, and stops after.

    Raises
    ------
    RuntimeError
        When the server ends before it is ready, or with another code than 0; its log is named.
    """
    command = [sys.executable, "-m", "segserve", "serve"]
    command += ["--model-repository", str(model_repository)]
    command += ["--model-control-mode", "explicit"]
    command += [word for model in models for word in ("--load-model", model)]
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
    if server.returncode:
        raise RuntimeError(f"the server ended with {server.returncode}; its log is {log_path}")


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


def _segment(image: Path, overlay: Path, address: str) -> int:
    from segserve.cli import segment

    parser = argparse.ArgumentParser()
    segment.add_parser(parser.add_subparsers(dest="command"))
    arguments = ["segment", str(image), "--model", MODEL, "--overlay", str(overlay)]
    return segment.run(parser.parse_args([*arguments, "--server", address]))


def _show_others(scene: Path, out: Path, address: str) -> None:
    """Segment the scene with a model of each other family; a line and an overlay of each."""
    from segserve.cli.overlay import draw_overlay
    from segserve.client import Client
    from segserve.core.options import SegmentOptions

    print(f"the same scene by the other families, scores from {SHOWN_SCORE}:")
    with Client(address) as client:
        for model, threshold in OTHERS.items():
            options = SegmentOptions(score_threshold=threshold)
            result = client.segment(scene, model, options)
            draw_overlay(scene, result, out / f"scene_{model}.png")
            pixels = result.width_px * result.height_px
            shares = (f"{found.label} {found.area / pixels:.1%}" for found in result.segments)
            scores = (f"{found.label} {found.score:.2f}" for found in result.regions)
            print(f"  {model:24} {', '.join([*scores, *shares])}")
    print(f"  overlays: {out}/scene_*_demo.png\n", flush=True)


def main() -> int:
    """Run the demo from a clone of the project; 0 when everything was segmented."""
    root = Path(__file__).resolve().parents[3]
    models, out = root / "model_repository", root / "build" / "demo"
    out.mkdir(parents=True, exist_ok=True)
    scene = out / "scene.png"
    _write_scene(scene)
    images = {root / "docs" / "images" / "coffee.jpg": "photo", scene: "scene"}
    print(f"starting segserve on {models} ...", flush=True)
    code = 0
    with running_server(models, out / "server.log", MODEL, *OTHERS) as port:
        address = f"127.0.0.1:{port}"
        for image, name in images.items():
            code |= _segment(image, out / f"{name}_overlay.png", address)
            print(flush=True)
        _show_others(scene, out, address)
    print("server stopped cleanly")
    return code


if __name__ == "__main__":
    sys.exit(main())
