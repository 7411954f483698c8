from pathlib import Path

from fedray.experiment import new_folder, results_root


def test_results_go_below_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("FEDRAY_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert results_root() == tmp_path
    assert new_folder("name").parent == Path("runs")


def test_the_environment_can_name_another_place(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path / "shared"))
    assert new_folder("name").parent == tmp_path / "shared" / "runs"


def test_a_ray_job_does_not_leave_its_results_in_rays_copy_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("FEDRAY_RESULTS", raising=False)
    copy = tmp_path / "session_1" / "runtime_resources" / "working_dir_files" / "_ray_pkg_1"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert results_root() == Path.home() / "fedray"
