import os

import pytest
from onnx import TensorProto, helper

from segserve.core.errors import LoadFailed
from segserve.repository.layout import scan_repository
from segserve.repository.load_plan import make_plan


def plan_of(folders, name="m", **options):
    return make_plan(scan_repository(folders.root).models[name], **options)


def test_what_a_plan_says(folders):
    folder = folders.model("m", config="max_batch_size: 2", versions=(1, 2), labels="a\nb\n")
    plan = plan_of(folders)
    assert (plan.name, plan.config.name, plan.config.max_batch_size) == ("m", "m", 2)
    assert plan.labels == ("a", "b")
    assert [version.version for version in plan.versions] == [2]
    version = plan.versions[0]
    assert version.path == folder / "2"
    assert version.model_file == (folder / "2" / "model.onnx").resolve()
    assert version.digest.startswith("sha256:")
    assert len(version.digest) == 71


def test_without_a_config_there_is_none(folders):
    folders.model("m")
    plan = plan_of(folders)
    assert (plan.config, plan.labels) == (None, ())


def test_a_version_without_its_file_is_not_there_yet(folders):
    folder = folders.model("m", versions=(1,))
    (folder / "2").mkdir()
    assert [version.version for version in plan_of(folders).versions] == [1]


@pytest.mark.parametrize(
    ("config", "versions"),
    [
        ("", ()),
        ("version_policy { specific { versions: 7 } }", (1, 2)),
        ('default_model_filename: "other.onnx"', (1,)),
    ],
)
def test_no_version_is_available(folders, config, versions):
    folders.model("m", config=config, versions=versions)
    with pytest.raises(LoadFailed, match="failed to load 'm', no version is available"):
        plan_of(folders)


def test_a_file_of_another_name(folders):
    folder = folders.model("m", config='default_model_filename: "a.onnx"')
    (folder / "1" / "model.onnx").rename(folder / "1" / "a.onnx")
    assert plan_of(folders).versions[0].model_file.name == "a.onnx"


def test_bad_configs_name_the_file_and_the_line(folders):
    folder = folders.model("m", config='\nname: "n"')
    with pytest.raises(LoadFailed) as caught:
        plan_of(folders)
    assert caught.value.message.startswith(f"{folder}/config.pbtxt:2: name: got 'n'")
    assert plan_of(folders, any_name=True).config.name == "m"


def test_a_request_s_config_takes_the_place_of_the_file(folders):
    folders.model("m", config="rubbish")
    plan = plan_of(folders, config_json='{"max_batch_size": 3}')
    assert plan.config.max_batch_size == 3


@pytest.mark.parametrize(("target", "why"), [(None, "Is a directory"), ("gone", "No such file")])
def test_a_config_that_is_no_file_is_not_taken_for_none(folders, target, why):
    path = folders.model("m") / "config.pbtxt"
    if target is None:
        path.mkdir()
    else:
        path.symlink_to(target)
    with pytest.raises(LoadFailed, match=f"config.pbtxt: cannot be .*: {why}"):
        plan_of(folders)


def test_labels_by_name(folders):
    config = 'output { name: "a" }\noutput { name: "b" label_filename: "voc.txt" }'
    folder = folders.model("m", config=config, labels="wrong\n")
    with pytest.raises(LoadFailed, match=r":2: output\[1\].label_filename: .*voc.txt: cannot be"):
        plan_of(folders)
    (folder / "voc.txt").write_text("right\n")
    assert plan_of(folders).labels == ("right",)


@pytest.mark.parametrize("where", ["config.pbtxt", "labels.txt", "1/model.onnx", "1/extra.bin"])
def test_links_that_leave_the_repository_are_refused(folders, tmp_path, where):
    folder = folders.model("m")
    (tmp_path / "outside").write_bytes(b"\x08\x08")
    (folder / where).unlink(missing_ok=True)
    (folder / where).symlink_to(tmp_path / "outside")
    with pytest.raises(LoadFailed, match="outside the model repository"):
        plan_of(folders)


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd"])
def test_a_model_filename_that_leaves_the_repository(folders, tmp_path, name):
    folders.model("m", config=f'default_model_filename: "{name}"')
    (folders.root.parent / "outside").write_bytes(b"\x08\x08")
    with pytest.raises(LoadFailed, match=r"outside the model repository|no version is available"):
        plan_of(folders)


def external_model(location):
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    graph = helper.make_graph([], "g", [], [], initializer=[weights])
    return helper.make_model(graph).SerializeToString()


@pytest.mark.parametrize(
    "location",
    ["../../../outside", "/etc/passwd", "missing.bin", "*/_ORT_MEM_ADDR_/*", ""],
)
def test_external_data_that_is_not_in_the_repository(folders, location):
    folders.model("m", content=external_model(location))
    (folders.root.parent / "outside").touch()
    with pytest.raises(LoadFailed, match="external data: "):
        plan_of(folders)


def test_external_data_counts_in_the_digest(folders):
    folder = folders.model("m", content=external_model("../shared.bin"))
    (folder / "shared.bin").write_bytes(b"1")
    before = plan_of(folders).versions[0].digest
    assert plan_of(folders).versions[0].digest == before
    (folder / "shared.bin").write_bytes(b"2")
    assert plan_of(folders).versions[0].digest != before


def test_external_data_is_that_beside_the_file_that_is_opened(folders):
    """A benign file beside the link, another beside the real model, which is what is opened."""
    folder = folders.model("m", content=external_model("w.bin"))
    (folder / "store").mkdir()
    (folder / "1" / "model.onnx").rename(folder / "store" / "model.onnx")
    (folder / "1" / "model.onnx").symlink_to("../store/model.onnx")
    (folder / "1" / "w.bin").write_bytes(b"1")
    (folder / "store" / "w.bin").write_bytes(b"1")
    (version,) = plan_of(folders).versions
    assert version.model_file == (folder / "store" / "model.onnx").resolve()
    (folder / "store" / "w.bin").write_bytes(b"2")
    assert plan_of(folders).versions[0].digest != version.digest
    outside = folders.root.parent / "outside"
    outside.touch()
    (folder / "store" / "w.bin").unlink()
    (folder / "store" / "w.bin").symlink_to(outside)
    with pytest.raises(LoadFailed, match=r"external data: .*outside the model repository"):
        plan_of(folders)


def test_links_into_a_store_of_blobs(folders):
    """Hugging Face's cache: the data lies beside the link, and the blob's name says nothing."""
    folder = folders.model("m", content=external_model("w.bin"))
    blobs = folder / "blobs"
    blobs.mkdir()
    (folder / "1" / "model.onnx").rename(blobs / "aaa")
    (folder / "1" / "model.onnx").symlink_to("../blobs/aaa")
    (folder / "1" / "w.bin").symlink_to("../blobs/bbb")
    (blobs / "bbb").write_bytes(b"1")
    (version,) = plan_of(folders).versions
    assert version.model_file == folder.resolve() / "1" / "model.onnx"
    (blobs / "bbb").write_bytes(b"2")
    assert plan_of(folders).versions[0].digest != version.digest


def test_a_link_to_a_file_of_another_suffix_is_opened_as_what_it_is_called(folders):
    folder = folders.model("m", versions=())
    (folder / "blobs").mkdir()
    (folder / "blobs" / "aaa").write_bytes(b"PK no protobuf")
    (folder / "1").mkdir()
    (folder / "1" / "model.pt").symlink_to("../blobs/aaa")
    assert plan_of(folders).versions[0].model_file.name == "model.pt"


@pytest.mark.parametrize("name", ["1/model.onnx", "1/weights", "labels.txt"])
def test_a_fifo_is_refused_by_name_before_anybody_waits_for_it(folders, name):
    path = folders.model("m") / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(LoadFailed, match=rf"m/{name}: "):
        plan_of(folders)


def test_config_and_labels_count_in_the_digest(folders):
    digests = set()
    for config, labels in (("", "a"), ("# x", "a"), ("", "b")):
        folders.model("m", config=config, labels=labels)
        digests.add(plan_of(folders).versions[0].digest)
    assert len(digests) == 3
