"""tritonclient's model control where it is not allowed: ``triton_control.py GRPC HTTP``."""

import asyncio
import contextlib
import sys

import pytest
import tritonclient.grpc
import tritonclient.http
from outcomes import run_cases_async
from tritonclient.utils import InferenceServerException

GRPC, HTTP = sys.argv[1:]


def refused(client, status):
    for call in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException) as caught:
            call("switch")
        assert caught.value.status() == status
        assert "explicit model load / unload is not allowed" in caught.value.message()
    assert client.is_model_ready("switch")


def case_grpc(_):
    with tritonclient.grpc.InferenceServerClient(GRPC) as client:
        refused(client, "StatusCode.UNAVAILABLE")


def case_http(_):
    with tritonclient.http.InferenceServerClient(HTTP) as client:
        refused(client, "503")


asyncio.run(run_cases_async(globals(), contextlib.ExitStack))
