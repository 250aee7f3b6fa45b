"""What the tritonclient programs share: one set of calls for its four flavours.

FLAVOUR is grpc, grpc.aio, http or http.aio: the four clients have the same methods, so each case
is written once.
"""

import asyncio
import importlib
import inspect
import sys

import numpy as np
import pytest
from outcomes import run_cases_async
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

FLAVOUR, ADDRESS = sys.argv[1:3]
GRPC = FLAVOUR.startswith("grpc")
triton = importlib.import_module(f"tritonclient.{FLAVOUR}")
STATUS = {
    "invalid": ("StatusCode.INVALID_ARGUMENT", "400"),
    "missing": ("StatusCode.NOT_FOUND", "404"),
    "unavailable": ("StatusCode.UNAVAILABLE", "503"),
}


async def ask(client, method, *arguments, **options):
    """Call a method of any flavour; protobuf answers come as dictionaries."""
    function = getattr(client, method)
    if GRPC and "as_json" in inspect.signature(function).parameters:
        options["as_json"] = True
    answer = function(*arguments, **options)
    return await answer if inspect.isawaitable(answer) else answer


def tensor(name, array, **options):
    given = triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
    given.set_data_from_numpy(array, **options)
    return given


async def infer(client, model, arrays, **options):
    """Infer; gives the result object."""
    inputs = [tensor(name, array) for name, array in arrays.items()]
    return await ask(client, "infer", model, inputs, **options)


async def refused(awaitable, kind, *texts):
    with pytest.raises(InferenceServerException) as caught:
        await awaitable
    error = caught.value
    assert error.status() == STATUS[kind][not GRPC], (error.status(), error.message())
    assert [text for text in texts if text not in error.message()] == [], error.message()


def floats(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def pair(rows):
    return {"INPUT0": floats(rows, 4), "INPUT1": np.full((rows, 4), 2, np.float32)}


def main(namespace):
    """Run the cases of a program: ``case_grpc_`` and ``case_http_`` where they apply."""
    skipped = "case_http_" if GRPC else "case_grpc_"
    cases = {k: v for k, v in namespace.items() if not k.startswith(skipped)}
    asyncio.run(run_cases_async(cases, lambda: triton.InferenceServerClient(ADDRESS)))
