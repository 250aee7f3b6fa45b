"""``python -m loadtests.claims``: two published claims, on held-out scenes, through a real server.

PointRend (Kirillov et al., 2020) against the same network without its point head, whose coarse
logits are enlarged bilinearly; and a label map before and after the dense CRF (Krähenbühl and
Koltun, 2011). What is found is printed, whatever it says.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from loadtests.coarse_graph import write_coarse_model
from loadtests.server_process import running_server
from segserve.client import Client, MaskFormat, Refine, SegmentOptions
from segserve.evaluation.boundary_iou import BoundaryCounts
from segserve.evaluation.semantic import ConfusionMatrix
from segserve.evaluation.semantic_sets import SemanticSet, synthetic_scenes

POINTREND, COARSE = "pointrend_semantic_demo", "pointrend_semantic_demo_coarse"
DEEPLAB = "deeplabv3plus_demo"
NARROW_SHARE = 0.005
"""Of the diagonal: 3 pixels of a 375 x 500 image; the 2 % of the paper are 12."""

_MAP = SegmentOptions(mask_format=MaskFormat.RAW)


@dataclass(frozen=True)
class Case:
    """One line of the table: what it is called, the model, and what is asked of it."""

    name: str
    model: str
    options: SegmentOptions = _MAP


@dataclass(frozen=True)
class Found:
    """What came of a case: means over the classes, in [0, 1].

    Parameters
    ----------
    name : str
    mean_iou, boundary_iou, narrow_boundary_iou : float
        The boundary within 2 % and within 0.5 % of the diagonal.
    median_ms : float
        Of one image after another, from sending to the answer.
    """

    name: str
    mean_iou: float
    boundary_iou: float
    narrow_boundary_iou: float
    median_ms: float


def _refined(mode: str) -> SegmentOptions:
    return SegmentOptions(
        mask_format=MaskFormat.RAW,
        refine=Refine.DENSE_CRF,
        parameters={"crf_mode": mode, "crf_max_ms": "60000"},
    )


CLAIMS: dict[str, tuple[Case, ...]] = {
    "point-head": (
        Case("PointRend without its point head", COARSE),
        Case("PointRend", POINTREND),
    ),
    "dense-crf": (
        Case("DeepLabV3+", DEEPLAB),
        *(
            Case(f"DeepLabV3+, dense CRF, {mode}", DEEPLAB, _refined(mode))
            for mode in ("fast", "lazy", "exact")
        ),
    ),
}


def measure(client: Client, case: Case, data: SemanticSet) -> Found:
    """Send every scene, one after another, and score the label maps.

    Raises
    ------
    RuntimeError
        When a refinement was asked for and not done.
    """
    classes = len(data.class_names)
    matrix = ConfusionMatrix(classes)
    wide, narrow = BoundaryCounts(classes), BoundaryCounts(classes, NARROW_SHARE)
    took_ms = []
    for image in data.images:
        picture, truth = image.read_picture(), image.read_truth()
        start_s = time.perf_counter()
        result = client.segment(picture, case.model, case.options)
        took_ms.append((time.perf_counter() - start_s) * 1e3)
        if case.options.refine is not None and not result.refined:
            raise RuntimeError(f"{case.name}: {image.name} was not refined in time")
        found = result.label_map()
        for counts in (matrix, wide, narrow):
            counts.add(truth, found)
    return Found(
        case.name,
        matrix.scores().mean_iou,
        wide.mean_iou(),
        narrow.mean_iou(),
        median(took_ms),
    )


def run(claims: Sequence[str], scenes: int, models: Path) -> Iterator[Found]:
    """Measure the cases of `claims`; `models` is the repository with the bundled models."""
    cases = [case for claim in claims for case in CLAIMS[claim]]
    names = {case.model for case in cases}
    data = synthetic_scenes(scenes)
    with tempfile.TemporaryDirectory(prefix="segserve-claims-") as folder:
        repository = Path(folder)
        for name in names - {COARSE}:
            shutil.copytree(models / name, repository / name)
        if COARSE in names:
            write_coarse_model(models / POINTREND, repository, COARSE)
        with (
            running_server(repository) as server,
            Client(f"127.0.0.1:{server.grpc_port}") as client,
        ):
            for case in cases:
                yield measure(client, case, data)


def table(found: Sequence[Found]) -> str:
    """Give the cases as lines of text."""
    width = max(len(row.name) for row in found)
    head = f"{'':{width}}  mean IoU  boundary IoU  within 0.5 %  ms per image"
    return "\n".join(
        [
            head,
            *(
                f"{row.name:{width}}  {row.mean_iou:8.4f}  {row.boundary_iou:12.4f}"
                f"  {row.narrow_boundary_iou:12.4f}  {row.median_ms:12.1f}"
                for row in found
            ),
        ]
    )


def main() -> None:
    """Measure, print, and write build/bench/claims.json."""
    parser = argparse.ArgumentParser(description="Published claims on held-out scenes.")
    parser.add_argument("--claim", choices=list(CLAIMS), action="append", help="default: all")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--models", type=Path, default=Path("model_repository"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/claims.json"))
    options = parser.parse_args()
    found = list(run(options.claim or list(CLAIMS), options.scenes, options.models))
    print(table(found))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
