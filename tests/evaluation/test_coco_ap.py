"""Every figure against pycocotools on the same detections."""

import contextlib
import io

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.evaluation.coco_ap import average_precision
from segserve.evaluation.coco_match import Detection, Truth

SIDE = 160
FIGURES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
FIGURES += ("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large")


def official(truths, detections, kind):
    """The twelve figures and each category's AP, by pycocotools."""
    coco_module = pytest.importorskip("pycocotools.coco", reason="needs the dev extra: make test")
    from pycocotools.cocoeval import COCOeval

    annotations = [
        {
            "id": n,
            "image_id": t.image_id,
            "category_id": t.category_id,
            "bbox": list(t.box),
            "area": t.area,
            "iscrowd": int(t.is_crowd),
            "segmentation": t.mask.to_coco(),
        }
        for n, t in enumerate(truths, 1)
    ]
    ids = sorted({x.image_id for x in (*truths, *detections)})
    categories = sorted({x.category_id for x in (*truths, *detections)})
    results = []
    for d in detections:
        entry = {"image_id": d.image_id, "category_id": d.category_id, "score": d.score}
        # Without a box: pycocotools would take its area for the mask's.
        entry |= {"bbox": list(d.box)} if kind == "box" else {"segmentation": d.mask.to_coco()}
        results.append(entry)
    with contextlib.redirect_stdout(io.StringIO()):
        wanted = coco_module.COCO()
        wanted.dataset = {
            "info": {},
            "images": [{"id": i, "height": SIDE, "width": SIDE} for i in ids],
            "annotations": annotations,
            "categories": [{"id": c, "name": str(c)} for c in categories],
        }
        wanted.createIndex()
        run = COCOeval(wanted, wanted.loadRes(results), "bbox" if kind == "box" else "segm")
        run.evaluate()
        run.accumulate()
        run.summarize()
    precision = run.eval["precision"][:, :, :, 0, 2]
    by_category = {
        c: float(precision[:, :, k].mean())
        for k, c in enumerate(categories)
        if (precision[:, :, k] > -1).any()
    }
    return run.stats, by_category


@pytest.mark.parametrize("kind", ["box", "mask"])
@pytest.mark.parametrize("seed", range(4))
def test_all_figures_are_pycocotools(make_instances, seed, kind):
    truths, detections = make_instances(seed)
    scores = average_precision(truths, detections, kind)
    expected, by_category = official(truths, detections, kind)
    got = [getattr(scores, name) for name in FIGURES]
    np.testing.assert_allclose(got, expected, atol=1e-9)
    assert scores.by_category == pytest.approx(by_category, abs=1e-9)
    assert 0.05 < scores.ap < 0.95, "a data set that tells nothing"


def instance(kind, n, **more):
    return kind(image_id=1, category_id=1, box=(10.0 * n, 0.0, 8.0, 8.0), **more)


def test_by_hand():
    """Two of three found, one wrong between them: precision 1 to recall 1/3, 2/3 to recall 2/3."""
    truths = [instance(Truth, n, area=64.0) for n in range(3)]
    found = [(0, 0.9), (7, 0.8), (1, 0.7)]
    detections = [instance(Detection, n, score=score) for n, score in found]
    scores = average_precision(truths, detections, "box")
    assert scores.ap == pytest.approx((34 * 1 + 33 * 2 / 3) / 101)
    assert (scores.ar_1, scores.ar_100) == pytest.approx((1 / 3, 2 / 3))
    assert (scores.ap_small, scores.ap_large) == pytest.approx((scores.ap, -1))


def test_nothing_at_all():
    assert average_precision([], [], "box").ap == -1
    truths = [instance(Truth, 0, area=64.0)]
    assert average_precision(truths, [], "box").ap == 0
    assert average_precision([], [instance(Detection, 0, score=1.0)], "box").ap == -1


def test_masks_are_needed_for_masks():
    with pytest.raises(InvalidInput, match="category 1 in image 1 has no mask"):
        average_precision([instance(Truth, 0, area=64.0)], [], "mask")
