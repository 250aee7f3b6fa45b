import pytest

from segserve.core.errors import InvalidInput, LoadFailed, NotFound
from segserve.repository.store import RepositoryStore


@pytest.fixture
def store(folders):
    made = RepositoryStore([folders.root])
    yield made
    made.close()


def test_names_and_fingerprints(store, folders):
    folders.model("b")
    folders.model("a")
    assert store.names() == ("a", "b")
    first = store.snapshot()
    assert list(first.models) == ["a", "b"]
    assert store.snapshot() == first
    folders.model("a", config="")
    second = store.snapshot()
    assert second.models["a"] != first.models["a"]
    assert second.models["b"] == first.models["b"]


def test_names_that_no_model_can_have_are_refused(store, folders):
    folders.model("bad name")
    snapshot = store.snapshot()
    assert snapshot.models == {}
    assert "letters, digits" in snapshot.refused["bad name"]


def test_a_model_that_cannot_be_planned_is_there_and_its_plan_says_why(store, folders):
    (folders.model("a") / "01").mkdir()
    folders.model("b").joinpath("out").symlink_to("../../..")
    snapshot = store.snapshot()
    assert set(snapshot.models) == {"a", "b"}
    with pytest.raises(LoadFailed, match="failed to load 'a': version folder '01'"):
        store.plan("a")


def test_a_file_that_cannot_be_looked_at_is_a_failed_load(store, folders):
    folders.model("a", config=f'default_model_filename: "{"long" * 100}"')
    assert set(store.snapshot().models) == {"a"}
    with pytest.raises(LoadFailed, match=r"'a': .*longlong: cannot be read: File name too long"):
        store.plan("a")


def test_a_model_being_written_is_not_seen(store, folders):
    marker = folders.model("a") / ".incomplete"
    marker.touch()
    assert store.snapshot().models == {}
    with pytest.raises(NotFound, match=r"remove .incomplete when it is complete"):
        store.plan("a")
    marker.unlink()
    assert set(store.snapshot().models) == {"a"}


def test_a_model_being_rewritten_keeps_what_it_was(store, folders):
    folder = folders.model("a")
    before = store.snapshot().models
    (folder / ".incomplete").touch()
    (folder / "1" / "model.onnx").write_bytes(b"half")
    assert store.snapshot().models == before
    assert store.snapshot().models == before
    folders.model("a", content=b"\x08\x09\x08\x09")
    (folder / ".incomplete").unlink()
    assert store.snapshot().models != before


def test_two_repositories(folders, tmp_path):
    other = type(folders)(tmp_path / "other")
    folders.model("a")
    folders.model("both")
    other.model("both")
    other.model("b")
    store = RepositoryStore([folders.root, other.root])
    assert store.names() == ("a", "b", "both")
    assert store.plan("b").directory.root == other.root
    with pytest.raises(
        LoadFailed, match=r"'both' is in two repositories, .*: remove or rename one"
    ):
        store.plan("both")
    assert store.snapshot().models["both"].startswith("refused: ")


def test_models_that_are_not_there(store, folders):
    with pytest.raises(NotFound) as caught:
        store.plan("nothing")
    assert caught.value.message == (
        "failed to load 'nothing', failed to poll from model repository: no folder of this name "
        f"in {folders.root}"
    )
    for name in ("../x", "a/b", "", "a" * 5000 + "/"):
        with pytest.raises(InvalidInput, match="letters, digits"):
            store.plan(name)


def test_a_root_that_is_not_there(tmp_path):
    with pytest.raises(LoadFailed, match="cannot be read: No such file"):
        RepositoryStore([tmp_path / "nothing"]).snapshot()


def test_one_model_under_a_name(folders):
    folder = folders.model("any", config='name: "any"')
    for root in (folder, folder / "1", folder / "1" / "model.onnx"):
        store = RepositoryStore([root], model_name="named")
        assert store.names() == ("named",)
        plan = store.plan("named")
        assert plan.name == "named"
        assert plan.config is None or plan.config.name == "named"
        assert plan.versions[0].model_file == (folder / "1" / "model.onnx").resolve()
    assert plan.versions[0].version == 1


def test_a_bare_file_s_fingerprint_and_digest(folders):
    bare = folders.root / "model.onnx"
    bare.write_bytes(b"\x08\x08")
    (folders.root / "notes.txt").write_text("a")
    store = RepositoryStore([folders.root], model_name="m")
    fingerprint, digest = store.snapshot().models["m"], store.plan("m").versions[0].digest
    (folders.root / "notes.txt").write_text("changed")
    assert store.plan("m").versions[0].digest == digest
    bare.write_bytes(b"\x08\x08\x08\x08")
    assert store.snapshot().models["m"] != fingerprint
    assert store.plan("m").versions[0].digest != digest


def test_a_name_is_given_and_the_root_is_a_repository(folders):
    folders.model("a")
    folders.model("b")
    assert RepositoryStore([folders.root], model_name="m").names() == ("a", "b")


def test_a_marker_holds_for_a_single_model_too(folders):
    folder = folders.model("any")
    (folder / ".incomplete").touch()
    assert RepositoryStore([folder], model_name="m").names() == ()


def test_files_of_a_request(store, folders):
    folders.model("a", config="max_batch_size: 1")
    files = {"file:3/model.onnx": b"\x08\x08\x08\x08"}
    plan = store.plan("a", config_json='{"max_batch_size": 5}', files=files)
    assert [version.version for version in plan.versions] == [3]
    assert plan.config.max_batch_size == 5
    assert plan.versions[0].model_file.read_bytes() == b"\x08\x08\x08\x08"
    assert not plan.versions[0].model_file.is_relative_to(folders.root)
    assert [version.version for version in store.plan("a").versions] == [1]
    new = store.plan("new", config_json="{}", files=files)
    assert new.name == "new"
    store.close()
    assert not new.versions[0].model_file.exists()


def test_files_need_a_config(store):
    with pytest.raises(LoadFailed, match="give a config with them"):
        store.plan("a", files={"1/model.onnx": b""})
