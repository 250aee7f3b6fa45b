"""``segserve evaluate``: a served model over a data set, scored as the papers score it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segserve.cli import argument_types as types
from segserve.cli.progress import show_progress
from segserve.core.errors import LoadFailed, NotFound, ServiceError

if TYPE_CHECKING:
    from segserve.client import Client, SegmentOptions, StreamAnswer
    from segserve.client.conversion import Picture
    from segserve.evaluation.measure import Ask
    from segserve.evaluation.report import Report

_SPLITS = {"coco": "val2017", "voc": "val", "cityscapes": "val", "ade20k": "validation"}
_SCENES = 200
_TASKS = {
    "coco": ("instance", "panoptic"),
    "voc": ("semantic",),
    "cityscapes": ("semantic",),
    "ade20k": ("semantic",),
    "synthetic": ("semantic", "instance"),
}


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score a served model on a data set",
        description="Send every image of a data set to a server and score the answers: mean IoU, "
        "accuracies, precision, recall, F1 (Dice) and boundary IoU of label maps, COCO's AP of "
        "boxes and masks, panoptic quality.",
    )
    parser.add_argument("--dataset", required=True, choices=list(_TASKS))
    parser.add_argument("--root", type=Path, metavar="DIR", help="the data set's own folder")
    parser.add_argument(
        "--model", required=True, type=types.name, metavar="M", help="name of the served model"
    )
    parser.add_argument(
        "--server", metavar="ADDR", help="host:port of a running server (default: start one)"
    )
    parser.add_argument(
        "--model-repository",
        type=Path,
        default=Path("model_repository"),
        metavar="DIR",
        help="what the server that is started serves (default: model_repository)",
    )
    parser.add_argument(
        "--task",
        choices=["semantic", "instance", "panoptic"],
        help="default: instance for coco, semantic for the others; of scenes, what the model gives",
    )
    parser.add_argument("--split", help="default: the data set's validation images")
    parser.add_argument(
        "--limit",
        type=types.whole_number(1, 2**31 - 1),
        metavar="N",
        help=f"images (default: all; {_SCENES} scenes)",
    )
    parser.add_argument(
        "--refine", choices=["dense_crf"], help="ask for refined label maps; all must be refined"
    )
    parser.add_argument(
        "--parameter",
        type=types.parameter,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the model, e.g. crf_max_ms=60000; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(usage_error=parser.error)


def run(options: argparse.Namespace) -> int:
    """Run the command.

    Returns
    -------
    int
        0, or 1 on failure; the reason is the last line on stderr. Wrong usage exits with 2.
    """
    from segserve.evaluation.report import as_table, as_values

    tasks = _TASKS[options.dataset]
    task = options.task or ("" if options.dataset == "synthetic" else tasks[0])
    if task and task not in tasks:
        options.usage_error(f"--task {task}: {options.dataset} is for {' or '.join(tasks)}")
    if options.root is None and options.dataset != "synthetic":
        options.usage_error(f"--root missing: the folder of {options.dataset}")
    if options.refine and task not in ("semantic", ""):
        options.usage_error("--refine is for label maps: --task semantic")
    try:
        report, names = _measured(options, task)
    except (ServiceError, OSError, RuntimeError) as error:
        said = " ".join([str(error), *getattr(error, "__notes__", [])])
        print(f"segserve evaluate: {' '.join(said.split())}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(as_values(report, names)))
    else:
        print(as_table(report, names))
    return 0


def _measured(options: argparse.Namespace, task: str) -> tuple[Report, dict[int, str]]:
    """Open the data set first: a wrong folder is known before a server is asked."""
    data = _opened(options, task) if task else None
    with _asking(options) as ask:
        task = task or _task_of(ask)
        return _scored(task, data or _opened(options, task), ask)


def _task_of(ask: Ask) -> str:
    """Ask the model about a blank picture: instance models answer without a map."""
    import numpy as np

    from segserve.client import SegmentOptions

    blank = np.zeros((64, 64, 3), np.uint8)
    (answer,) = ask([blank], SegmentOptions())
    if answer.error is not None:
        raise answer.error
    return "semantic" if answer.result is not None and answer.result.map else "instance"


def _scored(task: str, data: Any, ask: Ask) -> tuple[Report, dict[int, str]]:
    from segserve.evaluation import measure

    if task == "semantic":
        names = dict(enumerate(data.class_names))
    else:
        names = {category: name for name, category in data.category_ids.items()}
    score: Any = {
        "semantic": measure.measure_semantic,
        "instance": measure.measure_instances,
        "panoptic": measure.measure_panoptic,
    }[task]
    return score(data, ask, show_progress), names


def _opened(options: argparse.Namespace, task: str) -> Any:
    from segserve.evaluation import instance_sets, panoptic_sets, semantic_sets

    if options.dataset == "synthetic":
        draw = {
            "semantic": semantic_sets.synthetic_scenes,
            "instance": instance_sets.synthetic_instances,
        }[task]
        return draw(options.limit or _SCENES)
    open_set: Any = {
        ("coco", "instance"): instance_sets.open_coco,
        ("coco", "panoptic"): panoptic_sets.open_coco_panoptic,
        ("voc", "semantic"): semantic_sets.open_voc,
        ("cityscapes", "semantic"): semantic_sets.open_cityscapes,
        ("ade20k", "semantic"): semantic_sets.open_ade20k,
    }[options.dataset, task]
    opened = open_set(options.root, options.split or _SPLITS[options.dataset])
    return replace(opened, images=opened.images[: options.limit])


@contextmanager
def _asking(options: argparse.Namespace) -> Iterator[Ask]:
    """Connect to the server that was named, or to one that is started and stopped here."""
    from segserve.client import Client

    if options.server:
        with Client(options.server.split(",")) as client:
            yield _ask(client, options)
        return
    from segserve.cli.demo import running_server

    _check_has_model(options.model_repository, options.model)
    log = Path("build") / "evaluate_server.log"
    log.parent.mkdir(exist_ok=True)
    with (
        running_server(options.model_repository, log, options.model) as port,
        Client(f"127.0.0.1:{port}") as client,
    ):
        yield _ask(client, options)


def _check_has_model(repository: Path, name: str) -> None:
    """Look for the model where the server will.

    Raises
    ------
    NotFound
        Names the model, the folder, and the model with the nearest name.
    LoadFailed
        The model's folder is there and cannot be served; says why.
    """
    from segserve.families.parameter_values import nearest
    from segserve.repository.layout import Scan, scan_repository

    scan = scan_repository(repository) if repository.is_dir() else Scan({}, {}, {})
    if name in scan.models:
        return
    reason = scan.refused.get(name) or scan.skipped.get(name)
    if reason:
        raise LoadFailed(f"model '{name}' in {repository}: {reason}")
    hint = nearest(name, list(scan.models))
    raise NotFound(
        f"no model '{name}' in {repository}{hint + ' Or' if hint else ':'} export it there "
        f"(segserve export {name} --checkpoint FILE --out {repository}) or name another folder "
        "with --model-repository"
    )


def _ask(client: Client, options: argparse.Namespace) -> Ask:
    """Give what sends pictures, with the choices that the command line adds."""
    from segserve.client import Refine
    from segserve.core.errors import Overloaded

    refine = Refine(options.refine) if options.refine else None

    def ask(pictures: Iterable[Picture], wanted: SegmentOptions) -> Iterator[StreamAnswer]:
        chosen = replace(wanted, refine=refine, parameters=dict(options.parameter))
        for answer in client.segment_many(pictures, options.model, chosen):
            if refine and answer.result is not None and not answer.result.refined:
                raise Overloaded(
                    f"image {answer.index} was not refined in time: send --parameter "
                    "crf_max_ms=60000"
                )
            yield answer

    return ask
