"""Records what pydensecrf gives, for tests where it cannot be installed.

``build/bench-env/bin/python tests/ops/crf/record_pydensecrf.py``; `make bench-kernels` makes that
environment.
"""

from pathlib import Path

import numpy as np
from test_dense import RECORD, RECORDED, scene

HEIGHT, WIDTH = 40, 56


def main() -> None:
    """Write the record."""
    import pydensecrf.densecrf as dcrf

    kept = {}
    for name, (labels, sxy_px, srgb, compat) in RECORDED.items():
        image, unary = scene(HEIGHT, WIDTH, labels, seed=labels)
        theirs = dcrf.DenseCRF2D(WIDTH, HEIGHT, labels)
        theirs.setUnaryEnergy(np.ascontiguousarray(unary.reshape(labels, -1)))
        theirs.addPairwiseGaussian(sxy=3, compat=3)
        theirs.addPairwiseBilateral(sxy=sxy_px, srgb=srgb, rgbim=image, compat=compat)
        q = np.array(theirs.inference(10), np.float32).reshape(unary.shape)
        kept |= {f"{name}.image": image, f"{name}.unary": unary, f"{name}.q": q}
    np.savez_compressed(Path(__file__).with_name(RECORD), **kept)


if __name__ == "__main__":
    main()
