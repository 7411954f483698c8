"""The site's log: any byte that is changed, and any line that is missing, is found."""

import hashlib
import json

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedray.deployment.audit import BEGIN, HEAD, AuditLog, BrokenLogError, described, verified
from fedray.federation.messages import to_record


@pytest.fixture
def log(tmp_path):
    """Seven lines in three files."""
    log = AuditLog(tmp_path / "log", largest=200)
    for number in range(7):
        log.add({"kind": "train", "number": number, "word": "ä"})
    return tmp_path / "log"


def test_each_line_has_the_hash_of_the_one_before_it(log):
    lines = [line for path in sorted(log.glob("*.jsonl")) for line in path.read_bytes().splitlines(keepends=True)]
    assert len(lines) == 7 and len(list(log.glob("*.jsonl"))) > 1
    previous = BEGIN
    for number, line in enumerate(lines):
        said = json.loads(line)
        assert (said["number"], said["previous"]) == (number, previous)
        previous = hashlib.sha256(line).hexdigest()
    assert verified(log)[:2] == (7, previous)
    AuditLog(log).add({"kind": "again"})
    assert verified(log).lines == 8


def test_every_changed_byte_is_found(log):
    for path in sorted(log.glob("*.jsonl")):
        content = path.read_bytes()
        for place in range(len(content)):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            with pytest.raises(BrokenLogError):
                verified(log)
        path.write_bytes(content)
    verified(log)


def test_every_missing_line_is_found_and_nothing_is_added_then(log):
    for path in sorted(log.glob("*.jsonl")):
        content = path.read_bytes()
        lines = content.splitlines(keepends=True)
        for place in range(len(lines)):
            path.write_bytes(b"".join(lines[:place] + lines[place + 1 :]))
            with pytest.raises(BrokenLogError):
                AuditLog(log)
        path.write_bytes(content)
    sorted(log.glob("*.jsonl"))[1].unlink()
    with pytest.raises(BrokenLogError, match=r"audit-000002\.jsonl is missing"):
        verified(log)


def test_a_process_that_died_between_line_and_head_goes_on(log):
    before = (log / HEAD).read_bytes()
    AuditLog(log).add({"kind": "train"})
    (log / HEAD).write_bytes(before)
    AuditLog(log).add({"kind": "train"})
    assert verified(log).lines == 9
    (log / HEAD).write_bytes(before)
    with pytest.raises(BrokenLogError, match=r"ends after 9 line\(s\), and head.json says that it has 7"):
        verified(log)


def test_a_line_says_what_is_in_a_message_and_no_value_of_it():
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    arrays = {"w": np.full((2, 3), 7.5, np.float32), "n": np.array([1234567])}
    content = {
        "arrays": to_record(arrays),
        "metrics": MetricRecord({"loss": 0.125}),
        "config": ConfigRecord({"experiment": "{}", "server-round": 3}),
        "agreed": ConfigRecord({"run": "abc", "labels": ["secret"]}),
    }
    message = Message(RecordDict(content), 1, "train")
    said = described(message, "allowed")
    assert (said["kind"], said["round"], said["run"], said["decision"]) == ("train", 3, "abc", "allowed")
    assert said["records"]["arrays"]["arrays"] == {"w": ["float32", 2, 3], "n": ["int64", 1]}
    assert said["records"]["metrics"]["names"] == ["loss"]
    text = json.dumps(said)
    assert not any(word in text for word in ("7.5", "1234567", "0.125", "secret"))
    other = Message(RecordDict({**content, "arrays": to_record({**arrays, "n": np.array([1234568])})}), 1, "train")
    assert described(other, "allowed")["sha256"] != said["sha256"] == described(message, "refused")["sha256"]
    message.metadata.__dict__["_message_id"] = "1"
    assert described(Message(Error(1, "out of memory"), reply_to=message), "sent")["error"] == "out of memory"
