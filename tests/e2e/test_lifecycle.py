"""The life of the process: ports, readiness, failing models, draining, stopping."""

import signal
import socket
import threading
import time

import grpc
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from segserve.generated.inference import grpc_service_pb2 as pb

QUANTILES = "summary_quantiles=0.5:0.05,0.99:0.001"
HISTOGRAMS = (
    "segserve_decode_duration_histogram_us",
    "nv_inference_queue_duration_histogram_us",
    "nv_inference_compute_input_duration_histogram_us",
    "nv_inference_compute_infer_duration_histogram_us",
    "nv_inference_compute_output_duration_histogram_us",
    "segserve_batch_duration_histogram_us",
    "segserve_encode_duration_histogram_us",
    "nv_inference_request_duration_histogram_us",
    "segserve_batch_size",
    "segserve_response_bytes",
)


def test_serves_counts_every_phase_and_stops_cleanly(serve, repository, models, infer):
    models.identity(repository)
    server = serve("--model-repository", repository).wait_started()
    assert httpx.get(server.http + "/v2/health/ready").json() == {"ready": True}
    answer = infer(server, "identity", [1.5, -2.0], [1, 2])
    assert answer.status_code == 200
    assert answer.json()["outputs"][0]["data"] == [1.5, -2.0]
    assert answer.json()["model_version"] == "1"
    text = httpx.get(server.metrics).text
    labels = '{model="identity",version="1"}'
    assert f"nv_inference_request_success{labels} 1" in text
    assert [name for name in HISTOGRAMS if f"{name}_count{labels} 1.0" not in text] == []
    assert server.stop() == 0
    names = [event["event"] for event in server.events]
    assert names.index("stopping") < names.index("stopped")


def test_summaries_of_latencies_are_there_when_asked_for(serve, repository, models, infer):
    models.identity(repository)
    forms = [f"--metrics-config={form}" for form in ("summary_latencies=true", QUANTILES)]
    server = serve("--model-repository", repository, *forms).wait_started()
    assert infer(server, "identity", [1.5, -2.0], [1, 2]).status_code == 200
    text = httpx.get(server.metrics).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    (counted,) = families["nv_inference_request_duration_us"].samples
    summary = families["nv_inference_request_summary_us"]
    values = {(s.name, s.labels.get("quantile")): s.value for s in summary.samples}
    assert summary.type == "summary"
    assert values["nv_inference_request_summary_us_sum", None] == pytest.approx(counted.value)
    assert values["nv_inference_request_summary_us_count", None] == 1
    for quantile in ("0.5", "0.99"):
        value = values["nv_inference_request_summary_us", quantile]
        assert value == pytest.approx(counted.value, rel=0.011)


@pytest.mark.parametrize(
    ("leaves", "reason"),
    [("is cancelled", "CANCELED"), ("is out of time", "OTHER"), ("hangs up", "CANCELED")],
)
def test_a_network_stops_running_when_its_caller(serve, repository, models, infer, leaves, reason):
    """The model runs for seconds on the one core; the next caller gets it at once."""
    models.slow(repository, size=512, rounds=2000)
    models.identity(repository)
    server = serve("--model-repository", repository, "--cpu-threads", "1").wait_started()
    start_s = time.monotonic()
    ask_slow(server).result()
    whole_s = time.monotonic() - start_s
    if leaves == "hangs up":
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 512, 512]}]}
        body["inputs"][0]["data"] = [0.0] * (512 * 512)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.http}/v2/models/slow/infer", json=body, timeout=0.2 * whole_s)
    else:
        call = ask_slow(server, timeout=None if leaves == "is cancelled" else 0.2 * whole_s)
        time.sleep(0.2 * whole_s)
        call.cancel()
    start_s = time.monotonic()
    assert infer(server, "identity", [1.5, -2.0], [1, 2]).status_code == 200
    assert time.monotonic() - start_s < 0.5 * whole_s
    labels = f'model="slow",version="1",reason="{reason}"'
    assert f"nv_inference_request_failure{{{labels}}} 1" in httpx.get(server.metrics).text


def ask_slow(server, timeout=None):
    channel = grpc.insecure_channel(server.grpc)
    method = "/inference.GRPCInferenceService/ModelInfer"
    request = pb.ModelInferRequest(model_name="slow")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 512, 512])
    request.raw_input_contents.append(bytes(4 * 512 * 512))
    call = channel.unary_unary(
        method, pb.ModelInferRequest.SerializeToString, pb.ModelInferResponse.FromString
    ).future(request, timeout=timeout)
    call.add_done_callback(lambda _: channel.close())
    return call


def gauge(server, name):
    text = httpx.get(server.metrics).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))


def test_a_running_request_is_answered_after_sigterm_and_liveness_stays_green(
    serve, repository, models, infer
):
    models.slow(repository, size=512, rounds=250)
    server = serve("--model-repository", repository).wait_started()
    answers = []
    data = [0.0] * (512 * 512)

    def ask():
        answers.append(infer(server, "slow", data, [1, 512, 512]))

    callers = [threading.Thread(target=ask) for _ in range(3)]
    for caller in callers:
        caller.start()
    while gauge(server, "segserve_admitted_bytes") / (2 * 4 * len(data)) + len(answers) < len(
        callers
    ):
        time.sleep(0.02)
    server.process.send_signal(signal.SIGTERM)
    server.wait_event("stopping")
    time.sleep(0.2)
    assert httpx.get(server.http + "/v2/health/live").status_code == 200
    assert httpx.get(server.http + "/v2/health/ready").status_code == 503
    late = infer(server, "slow", [0.0], [1, 1, 1])
    assert (late.status_code, late.headers["retry-after"]) == (503, "1")
    assert server.process.wait(30) == 0
    for caller in callers:
        caller.join()
    assert [a.status_code for a in answers] == [200, 200, 200]


def test_not_ready_but_alive_and_serving_while_draining(serve, repository, models, infer):
    models.identity(repository)
    server = serve("--model-repository", repository, "--drain-delay", 1.5).wait_started()
    server.process.send_signal(signal.SIGTERM)
    server.wait_event("stopping")
    time.sleep(0.2)
    assert httpx.get(server.http + "/v2/health/ready").status_code == 503
    assert httpx.get(server.http + "/v2/models/identity/ready").status_code == 503
    assert httpx.get(server.http + "/v2/health/live").status_code == 200
    answer = infer(server, "identity", [1.0], [1, 1])
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert server.process.wait(20) == 0


def test_a_load_that_does_not_end_does_not_hold_a_stop_up(serve, repository, models):
    folder = models.identity(repository, "endless")
    (folder / "config.pbtxt").write_text(
        'model_warmup { name: "w" count: 1000000000 inputs { key: "x" value { '
        "data_type: TYPE_FP32 dims: [ 1 ] zero_data: true } } }"
    )
    server = serve("--model-repository", repository, "--exit-timeout-secs", 1)
    server.wait_event("listening", protocol="metrics")
    time.sleep(0.5)
    start_s = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - start_s < 4
    assert server.wait_event("load_abandoned")["models"] == ["endless"]


def test_a_second_signal_ends_the_process_at_once(serve, repository, models):
    models.identity(repository)
    server = serve("--model-repository", repository, "--drain-delay", 60).wait_started()
    server.process.send_signal(signal.SIGTERM)
    server.wait_event("stopping")
    start_s = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(5) == 128 + signal.SIGTERM
    assert time.monotonic() - start_s < 2


def test_a_taken_port_is_a_plain_failure(serve, repository, models):
    models.identity(repository)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = serve("--model-repository", repository, "--grpc-port", port)
        assert server.process.wait(30) == 1
    assert str(port) in server.wait_event("server_failed")["error"]


@pytest.mark.parametrize("exit_on_error", [False, True])
def test_a_corrupt_model(serve, repository, models, infer, *, exit_on_error):
    models.identity(repository)
    broken = repository / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "model.onnx").write_bytes(b"not a model")
    server = serve("--model-repository", repository, "--exit-on-error", exit_on_error)
    failure = server.wait_event("model_load_failed")
    assert failure["model"] == "broken"
    assert "model.onnx" in failure["error"]
    if exit_on_error:
        assert server.process.wait(30) == 1
        return
    server.wait_started()
    assert infer(server, "identity", [1.0], [1, 1]).status_code == 200
    assert httpx.get(server.http + "/v2/health/ready").status_code == 503
    assert httpx.get(server.http + "/v2/models/identity/ready").status_code == 200
    index = httpx.post(server.http + "/v2/repository/index", json={}).json()
    states = {row["name"]: row["state"] for row in index}
    assert states == {"identity": "READY", "broken": "UNAVAILABLE"}


def test_no_telemetry_file_in_an_empty_home(serve, repository, models, infer, tmp_path):
    models.identity(repository)
    home = tmp_path / "home"
    home.mkdir()
    server = serve(
        "--model-repository",
        repository,
        env={"HOME": str(home), "CI": "", "PYTHONPYCACHEPREFIX": ""},
    ).wait_started()
    assert infer(server, "identity", [1.0], [1, 1]).status_code == 200
    assert server.stop() == 0
    written = [p for p in home.rglob("*") if p.is_file()]
    assert not [p for p in written if "onnxruntime" in str(p) or p.name == "deviceid"], written
