"""``segserve segment``: images to a running server, what it found to standard output."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segserve.cli import argument_types as types
from segserve.cli.progress import progress_while
from segserve.cli.segment_report import json_document, text_report
from segserve.core.errors import ErrorKind, ServiceError
from segserve.core.options import MaskFormat, OutputSize, Refine, SegmentOptions

if TYPE_CHECKING:
    from segserve.client import Client, SegmentResult

_IN_FLIGHT = 4
_CONNECT_TIMEOUT_S = 2.0


def add_parser(subparsers: Any) -> None:
    """Add the command; it has no threshold or top-k of its own."""
    parser = subparsers.add_parser(
        "segment",
        help="send images to a running server and print what it found",
        description="Send images to a running server and print what it found. What is not set is "
        "as the model's config says.",
    )
    add = parser.add_argument
    add("images", nargs="+", type=Path, metavar="IMAGE", help="JPEG, PNG or WebP file")
    add("--model", required=True, type=types.name, metavar="NAME", help="the model's name")
    add(
        "--model-version",
        type=types.whole_number(1, 2**63 - 1),
        metavar="N",
        help="default: the newest served",
    )
    add("--server", default="localhost:8001", metavar="HOST:PORT", help="default: %(default)s")
    add("--json", action="store_true", help="one JSON object per image and line, nothing else")
    add(
        "--overlay",
        type=types.picture,
        metavar="OUT.png",
        help="draw masks; several images: OUT_1.png ...",
    )
    add("--score-threshold", type=types.score, metavar="T", help="drop instances that score less")
    top_k = types.whole_number(0, 2**32 - 1)
    add("--top-k", type=top_k, metavar="K", help="keep the best instances or largest labels")
    area = types.whole_number(0, 2**64 - 1)
    add("--min-area", type=area, metavar="N", help="drop masks with fewer pixels")
    add("--labels", type=types.labels, metavar="A,B", help="keep these label names or ids alone")
    add("--mask-format", type=MaskFormat, metavar=_choices(MaskFormat), help="default: rle")
    add("--refine", type=Refine, metavar=_choices(Refine), help="sharpen the map's borders")
    add(
        "--compare-refine",
        type=types.picture,
        metavar="OUT.png",
        help="draw before, after and difference",
    )
    add("--output-size", type=OutputSize, metavar=_choices(OutputSize), help="default: source")
    add(
        "--parameter",
        action="append",
        type=types.parameter,
        default=[],
        metavar="NAME=VALUE",
        help="an option of the model itself, e.g. clusters=8 or box=10,20,300,200; may be repeated",
    )
    add("--timeout", type=types.seconds, default=300.0, metavar="S", help="for one image (300 s)")
    parser.set_defaults(usage_error=parser.error)


def _choices(values: type[MaskFormat] | type[Refine] | type[OutputSize]) -> str:
    return "|".join(str(value.value) for value in values)


def run(options: argparse.Namespace) -> int:
    """Segment all images.

    Returns
    -------
    int
        0; 1 when an image failed, with the reason as the last line on standard error; 2 for an
        address that is none.
    """
    from segserve.client import Client, RetryPolicy, SegserveError

    _check_together(options)
    retry = RetryPolicy(connect_timeout_s=_CONNECT_TIMEOUT_S)
    try:
        client = Client(options.server.split(","), timeout_s=options.timeout, retry=retry)
    except SegserveError as error:
        _complain(error.message)
        return 2
    with client:
        return _segment_all(client, options)


def _check_together(options: argparse.Namespace) -> None:
    if options.overlay and options.mask_format is MaskFormat.NONE:
        options.usage_error("--overlay needs masks: leave out --mask-format none")
    if options.compare_refine and options.mask_format not in (None, MaskFormat.RLE):
        options.usage_error("--compare-refine needs masks: leave out --mask-format")
    if options.compare_refine and options.refine is Refine.NONE:
        options.usage_error("--compare-refine refines: leave out --refine none")
    if options.top_k is not None and _label_names(options):
        options.usage_error("--top-k counts before label names are picked: give --labels as ids")


def _segment_all(client: Client, options: argparse.Namespace) -> int:
    code = 0
    for number, (path, answer) in enumerate(_answers(client, options), 1):
        try:
            with progress_while(number - 1, len(options.images)):
                whole = answer()
            result = _picked(whole, options)
            overlay = _write_overlay(path, result, options, number)
            _write_comparison(client, path, result, options, number)
        except ServiceError as error:
            code = 1
            if _nobody_there(error):
                _complain(f"no answer from {options.server} for {path}: {error.message}")
                break
            _complain(f"{path}: {error.message}")
            continue
        _tell_near_labels(path, whole, options)
        if options.json:
            print(json.dumps(json_document(path, result), separators=(",", ":")), flush=True)
        else:
            print(text_report(path, result, overlay), flush=True)
    return code


def _nobody_there(error: ServiceError) -> bool:
    """Whether no server has answered; one that cannot serve this model has."""
    from segserve.client import SegserveError

    answered = isinstance(error, SegserveError) and error.answered
    return error.kind is ErrorKind.UNAVAILABLE and error.retry_after_s is None and not answered


def _wanted(options: argparse.Namespace) -> SegmentOptions:
    return SegmentOptions(
        mask_format=options.mask_format,
        score_threshold=options.score_threshold,
        top_k=options.top_k,
        min_area_px=options.min_area,
        label_ids=None if _label_names(options) else _label_ids(options),
        refine=Refine.DENSE_CRF if options.compare_refine else options.refine,
        output_size=options.output_size,
        parameters=dict(options.parameter),
    )


def _answers(
    client: Client, options: argparse.Namespace
) -> Iterator[tuple[Path, Callable[[], SegmentResult]]]:
    """Send a few images at a time; gives them in order, each with the wait for its answer."""
    wanted = _wanted(options)

    def segment(path: Path) -> SegmentResult:
        return client.segment(path, options.model, wanted, version=options.model_version)

    paths = iter(options.images)
    with ThreadPoolExecutor(_IN_FLIGHT) as threads:
        sent: list[tuple[Path, Future[SegmentResult]]] = []
        try:
            for path in paths:
                sent.append((path, threads.submit(segment, path)))
                if len(sent) == _IN_FLIGHT:
                    first, future = sent.pop(0)
                    yield first, future.result
            for first, future in sent:
                yield first, future.result
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def _label_names(options: argparse.Namespace) -> bool:
    return options.labels is not None and not all(label.isdecimal() for label in options.labels)


def _label_ids(options: argparse.Namespace) -> tuple[int, ...] | None:
    return None if options.labels is None else tuple(map(int, options.labels))


def _picked(result: SegmentResult, options: argparse.Namespace) -> SegmentResult:
    """Keep the labels asked for by name, which the server knows by id alone."""
    from dataclasses import replace

    if not _label_names(options):
        return result
    wanted = set(options.labels)
    regions = tuple(r for r in result.regions if {r.label, str(r.label_id)} & wanted)
    segments = tuple(s for s in result.segments if {s.label, str(s.label_id)} & wanted)
    return replace(result, regions=regions, segments=segments)


def _tell_near_labels(path: Path, whole: SegmentResult, options: argparse.Namespace) -> None:
    """Say which label that was found is nearly one that was asked for."""
    if not _label_names(options):
        return
    found = {each.label for each in whole.regions} | {each.label for each in whole.segments}
    by_folded = {label.casefold(): label for label in found if label}
    for wanted in [label for label in options.labels if label not in found]:
        near = get_close_matches(wanted.casefold(), by_folded, n=1)
        if near and not wanted.isdecimal():
            _complain(f"{path}: no '{wanted}' was found; did you mean '{by_folded[near[0]]}'?")


def _write_overlay(
    path: Path, result: SegmentResult, options: argparse.Namespace, number: int
) -> Path | None:
    if options.overlay is None:
        return None
    from segserve.cli.overlay import draw_overlay

    out = _numbered(options.overlay, path, options, number)
    draw_overlay(path, result, out)
    return out


def _write_comparison(
    client: Client, path: Path, after: SegmentResult, options: argparse.Namespace, number: int
) -> None:
    if options.compare_refine is None:
        return
    from dataclasses import replace

    from segserve.cli.compare_refine import draw_comparison

    plain = replace(_wanted(options), refine=Refine.NONE, parameters={})
    before = client.segment(path, options.model, plain, version=options.model_version)
    out = _numbered(options.compare_refine, path, options, number)
    share = draw_comparison(path, _picked(before, options), after, out)
    if not options.json:
        print(f"{out}: the refinement changed {100 * share:.2f} % of the pixels", flush=True)


def _numbered(out: Path, path: Path, options: argparse.Namespace, number: int) -> Path:
    """Give each image a file of its own, where there are several."""
    several = len(options.images) > 1
    if out.is_dir() or not out.suffix:
        return out / (f"{path.stem}_{number}.png" if several else f"{path.stem}.png")
    return out.with_stem(f"{out.stem}_{number}") if several else out


def _complain(reason: str) -> None:
    print(f"segserve segment: {' '.join(reason.split())}", file=sys.stderr, flush=True)
