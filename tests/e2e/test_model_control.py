"""Loading, replacing and unloading models in a running server."""

import shutil
import threading

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc


def value(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["outputs"][0]["data"][0]


def post(server, path, **parameters):
    body = {"parameters": parameters} if parameters else {}
    return httpx.post(f"{server.http}/v2/repository/models/{path}", json=body, timeout=60)


def test_explicit_mode(serve, repository, models, infer):
    models.identity(repository, "a")
    models.identity(repository, "b")
    flags = ("--model-control-mode", "explicit", "--load-model", "a")
    server = serve("--model-repository", repository, *flags).wait_started()
    assert value(infer(server, "a", [2.0], [1, 1])) == 2.0
    assert infer(server, "b", [2.0], [1, 1]).status_code in (400, 404, 503)
    assert post(server, "b/load").status_code == 200
    assert value(infer(server, "b", [3.0], [1, 1])) == 3.0
    assert post(server, "b/unload").status_code == 200
    assert "no available versions" in infer(server, "b", [3.0], [1, 1]).json()["error"]
    missing = post(server, "nothing/load")
    assert missing.status_code >= 400
    assert "nothing" in missing.json()["error"]


def test_load_is_refused_outside_explicit_mode(serve, repository, models):
    models.identity(repository, "a")
    server = serve("--model-repository", repository).wait_started()
    refused = post(server, "a/load")
    assert refused.status_code == 503
    assert "explicit model load / unload is not allowed" in refused.json()["error"]


def test_replace_without_downtime_and_the_old_one_stays_when_the_new_one_fails(
    serve, repository, models, infer
):
    models.identity(repository, "m", scale=1.0)
    flags = ("--model-control-mode", "explicit", "--load-model", "*")
    server = serve("--model-repository", repository, *flags).wait_started()
    stop, failures, seen = threading.Event(), [], set()

    def hammer():
        while not stop.is_set():
            answer = infer(server, "m", [1.0], [1, 1])
            if answer.status_code != 200:
                failures.append(answer.text)
            else:
                seen.add(answer.json()["outputs"][0]["data"][0])

    caller = threading.Thread(target=hammer)
    caller.start()
    try:
        for scale in (2.0, 3.0):
            models.identity(repository, "m", scale=scale)
            assert post(server, "m/load").status_code == 200
            assert value(infer(server, "m", [1.0], [1, 1])) == scale
        (repository / "m" / "1" / "model.onnx").write_bytes(b"rubbish")
        assert post(server, "m/load").status_code >= 400
        assert value(infer(server, "m", [1.0], [1, 1])) == 3.0
    finally:
        stop.set()
        caller.join()
    assert failures == []
    assert {2.0, 3.0} & seen


def test_poll_follows_the_repository(serve, repository, models, infer):
    models.identity(repository, "m", scale=1.0)
    flags = ("--model-control-mode", "poll", "--repository-poll-secs", "0.2")
    server = serve("--model-repository", repository, *flags).wait_started()
    assert value(infer(server, "m", [1.0], [1, 1])) == 1.0
    models.identity(repository, "m", version=2, scale=5.0)
    server.wait_event("model_ready", model="m", version=2)
    assert value(infer(server, "m", [1.0], [1, 1])) == 5.0
    models.identity(repository, "late")
    server.wait_event("model_ready", model="late")
    shutil.rmtree(repository / "m")
    server.wait_event("model_unloaded", model="m")
    assert infer(server, "m", [1.0], [1, 1]).status_code == 404
    with grpc.insecure_channel(server.grpc) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=30
        )
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        (repository / "bad" / "01").mkdir(parents=True)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        shutil.rmtree(repository / "bad")
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING


def test_a_model_marked_incomplete_is_not_seen(serve, repository, models):
    folder = models.identity(repository, "m")
    (folder / ".incomplete").touch()
    flags = ("--model-control-mode", "poll", "--repository-poll-secs", "0.2")
    server = serve("--model-repository", repository, *flags).wait_started()
    assert httpx.post(server.http + "/v2/repository/index", json={}).json() == []
    (folder / ".incomplete").unlink()
    server.wait_event("model_ready", model="m")


def test_versions_by_policy(serve, repository, models, infer):
    for version in (1, 2, 3):
        folder = models.identity(repository, "m", version=version, scale=float(version))
    (folder / "config.pbtxt").write_text("version_policy { specific { versions: [1, 3] } }")
    server = serve("--model-repository", repository).wait_started()
    assert value(infer(server, "m", [1.0], [1, 1])) == 3.0
    assert value(infer(server, "m", [1.0], [1, 1], version="1")) == 1.0
    assert infer(server, "m", [1.0], [1, 1], version="2").status_code == 404


def test_a_bare_model_under_a_name(serve, repository, models, infer, tmp_path):
    models.identity(repository, "any")
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(repository / "any" / "1" / "model.onnx", bare / "model.onnx")
    server = serve("--model-repository", bare, "--model-name", "named").wait_started()
    assert value(infer(server, "named", [4.0], [1, 1])) == 4.0


def test_a_config_that_contradicts_its_model_says_which_field(serve, repository, models):
    folder = models.identity(repository, "m")
    (folder / "config.pbtxt").write_text(
        'max_batch_size: 4\ninput [ { name: "x" data_type: TYPE_INT8 dims: [ -1 ] } ]\n'
        'output [ { name: "y" data_type: TYPE_FP32 dims: [ -1 ] } ]\n'
    )
    server = serve("--model-repository", repository).wait_started()
    error = server.wait_event("model_load_failed")["error"]
    assert "x" in error
    assert "INT8" in error
    assert "FP32" in error
