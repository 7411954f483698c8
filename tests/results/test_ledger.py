"""The accounts of a place: kept before a release, over processes, on disk and on shared storage."""

import pytest

from fedray.federation import Releases, epsilon_of
from fedray.results import Place
from fedray.results.ledger import Ledger
from fedray.storage import StorageError
from tests.support.storage import CREDENTIALS


@pytest.fixture(params=["folder", "shared storage"])
def ledger(request, tmp_path, monkeypatch):
    if request.param == "folder":
        return Ledger.at(Place.at(tmp_path / "100% of [it]"))
    bucket = request.getfixturevalue("bucket")
    for name, value in (CREDENTIALS | bucket.environment).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path))
    return Ledger.at(Place.at(f"{bucket.uri}/sweep"))


def test_what_was_counted_is_there_after_any_end(ledger):
    assert ledger.releases() == {}
    assert ledger.epsilon(1e-5) == 0.0
    first = ledger.account("trial_1")
    first.count(1.0)
    assert ledger.releases() == {"trial_1": {1.0: 1}}  # kept at once
    first.count(1.0)
    again = ledger.account("trial_1")  # the process died, and another one goes on
    again.count(1.0)
    first.count(1.0)  # or it was only cut off: neither overwrites the other
    other = ledger.account("trial_2")
    other.count(2.5)
    assert ledger.releases() == {"trial_1": {1.0: 4}, "trial_2": {2.5: 1}}
    assert again.releases == {1.0: 3}
    assert ledger.epsilon(1e-5) == epsilon_of([Releases({1.0: 4, 2.5: 1})], 1e-5)


def test_an_account_that_cannot_be_read_or_written_is_named(tmp_path):
    ledger = Ledger(str(tmp_path))
    (tmp_path / "privacy").write_text("a file in the folder's place")
    with pytest.raises(StorageError, match=r"cannot be written \(.*privacy\), and nothing is released that is not"):
        ledger.account("experiment").count(1.0)
    (tmp_path / "privacy").unlink()
    ledger.account("experiment").count(1.0)
    next((tmp_path / "privacy").iterdir()).write_text("{}")
    with pytest.raises(StorageError, match=r"is no account of releases.*put the file back"):
        ledger.account("experiment")
