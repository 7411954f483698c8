import pytest
import ray

from fedray.cluster import ClusterSize, NodeSize, ResourceError, reach
from fedray.cluster.reach import check_reach
from fedray.config import ExperimentConfig, override

TWO = ClusterSize((NodeSize(4), NodeSize(4)))


@pytest.fixture
def other_machine(ray_session, monkeypatch):
    """The suite's own node in the place of another machine: what it does not see is made so."""
    (node,) = ray.nodes()
    monkeypatch.setattr(reach, "_other_machines", lambda: {"10.0.0.2": node["NodeID"]})


@pytest.fixture
def sees_nothing(monkeypatch):
    monkeypatch.setattr(reach, "_missing", lambda paths: list(paths))


def left_behind(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_that_all_machines_mount_is_fine(other_machine, small_config, tmp_path, capsys):
    check_reach(small_config(), TWO, tmp_path / "out" / "first")
    assert left_behind(tmp_path) == [] and capsys.readouterr().err == ""


def test_a_store_on_one_machine_is_refused_before_anything_starts(
    other_machine, sees_nothing, small_config, small_store, tmp_path
):
    with pytest.raises(ResourceError) as caught:
        check_reach(small_config(), TWO, tmp_path / "out")
    data, results = str(caught.value).split("; --out")
    assert data.startswith(f"data.store is {small_store.path}, which is on this machine but not on 1 other(s)")
    assert "(10.0.0.2)" in data and "--upload s3://BUCKET/PATH" in data and "mount one folder" in data
    assert results.startswith(f" is {tmp_path}, which is on") and "FEDRAY_RESULTS" in results
    assert left_behind(tmp_path) == []


def test_the_weights_that_a_configuration_names_are_asked_for(other_machine, sees_nothing, small_config, tmp_path):
    weights = tmp_path / "resnet18.safetensors"
    weights.touch()
    config = small_config(
        data__store="colon", gan__discriminator="resnet18", gan__initialisation="imagenet", gan__weights=str(weights)
    )
    with pytest.raises(ResourceError, match=rf"^gan.weights is {weights}, .* put the file on every machine, or mount"):
        check_reach(config, TWO)


def test_tiles_that_are_handed_out_are_asked_for_only_where_a_server_may_run(other_machine, sees_nothing, tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    named = {"task": "classification", "data.store": "colon", "classification.tiles": "both"}
    named["classification.synthetic"] = str(made)
    handed = override(ExperimentConfig(), {**named, "federation.mode": "fedssg"}, "test")
    check_reach(handed, TWO)
    with pytest.raises(ResourceError, match=f"classification.synthetic is {made}, which is on this machine but not"):
        check_reach(handed, TWO, tmp_path / "out")  # of trials, each of which is a server
    with pytest.raises(ResourceError, match=f"classification.synthetic is {made}, which is on this machine but not"):
        check_reach(override(ExperimentConfig(), named, "test"), TWO)  # whose clients open it


def test_an_address_and_an_embedded_set_need_no_question(sees_nothing, small_config, monkeypatch):
    monkeypatch.setattr(reach, "_other_machines", lambda: {"10.0.0.2": "none of Ray's"})
    for store in ("s3://bucket/tiles", "colon"):
        check_reach(small_config(data__store=store), TWO)


def test_of_machines_that_are_to_come_it_tells(small_config, monkeypatch, capsys):
    monkeypatch.setattr(reach, "_other_machines", dict)
    check_reach(small_config(), ClusterSize((NodeSize(0), *(NodeSize(8, 1),) * 4), num_down=4))
    said = capsys.readouterr().err
    assert said.startswith("note: data.store /") and "4 machine(s) that the autoscaler may launch" in said


def test_one_machine_needs_no_question(ray_session, small_config, sees_nothing, capsys):
    check_reach(small_config(), ClusterSize((NodeSize(4),)))
    assert capsys.readouterr().err == ""
