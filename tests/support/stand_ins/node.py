"""Answers in the place of a cloud's nodes: what `ssh` and `rsync` would reach, and the programs in a node's container.

A node is a folder, `$STAND_IN_NODES/ADDRESS`. What is copied to it is copied there. What is to run in its container
runs in bash, in the container's home, where the programs that matter only write down how they were called. What is to
run outside the container is written down and answered. No packet leaves the machine; nothing is installed or started.

Standard library only: it starts once for each command.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

NODES = Path(os.environ["STAND_IN_NODES"])
PROGRAMS = Path(os.environ["STAND_IN_PROGRAMS"])
WITH_VALUE = ("-i", "-o", "-L", "-e", "--rsh", "--exclude", "--filter")  # options of ssh and rsync


def write_down(node: Path, kind: str, what: str, **more: object) -> None:
    with (NODES / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({"node": node.name, "kind": kind, "what": what, **more}) + "\n")


def arguments(words: list[str]) -> list[str]:
    """Leave the options out, and their values."""
    pairs = zip(["", *words], words, strict=False)
    return [word for before, word in pairs if before not in WITH_VALUE and not word.startswith("-")]


def ssh(words: list[str]) -> int:
    address = arguments(words)[0]
    node = NODES / address.partition("@")[2]
    (node / "home").mkdir(parents=True, exist_ok=True)
    return on_host(node, unwrapped(" ".join(words[words.index(address) + 1 :])))


def unwrapped(command: str) -> str:
    """Take off the login shell that Ray puts around every command."""
    shell = shlex.split(command)
    return shell[4].partition("PYTHONWARNINGS=ignore && (")[2][:-1] if shell[:2] == ["bash", "--login"] else command


def on_host(node: Path, command: str) -> int:
    words = shlex.split(command)
    if words[:2] == ["docker", "exec"]:
        return in_container(
            node, words[words.index("/bin/bash") + 2] if "/bin/bash" in words else shlex.join(words[3:])
        )
    write_down(node, "host", command)
    if words[:2] == ["docker", "run"]:
        for mount in (value for option, value in pairwise(words) if option == "-v"):
            source, _, target = mount.partition(":")
            Path(target).symlink_to(on_disk(node, source))
        (node / "container").touch()
    elif words[:1] == ["rsync"]:  # from the host into the container
        source, target = arguments(words[1:])
        copy(on_disk(node, source), Path(target.partition(":")[2]))
    elif words == ["nvidia-smi"]:
        return int("STAND_IN_GPU" not in os.environ)
    answers = {
        "command -v docker": "/usr/bin/docker",
        "docker info": "map[nvidia:{nvidia-container-runtime []}]",
        "docker inspect -f {{.State.Running}}": str((node / "container").exists()).lower(),
        "docker inspect -f {{json .Config.Env}}": json.dumps([f"HOME={node / 'home'}"]),
    }
    print(next((answer for start, answer in answers.items() if " ".join(words).startswith(start)), ""))
    return 0


def in_container(node: Path, command: str) -> int:
    write_down(node, "container", unwrapped(command))
    environment = {
        "HOME": str(node / "home"),
        "PATH": f"{PROGRAMS}:/usr/bin:/bin",
        "STAND_IN_NODES": str(NODES),
        "STAND_IN_PROGRAMS": str(PROGRAMS),
    }
    script = shlex.split(command)[4] if command.startswith("bash --login") else command
    return subprocess.run(["bash", "-c", script], env=environment, cwd=node / "home").returncode


def on_disk(node: Path, path: str) -> Path:
    """Return where the node's folder has a path of its host."""
    return node / "host" / path.lstrip("/")


def rsync(words: list[str]) -> int:
    source, target = arguments(words)
    address, _, path = target.partition("@")[2].partition(":")
    place = on_disk(NODES / address, path)
    write_down(NODES / address, "copy", path, source=source)
    place.parent.mkdir(parents=True, exist_ok=True)
    copy(Path(source), place)
    return 0


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def program(words: list[str]) -> int:
    """Stand for a program in the container. `uv venv PLACE` makes an environment with a `ray` of its own."""
    seen = {key: value for key, value in os.environ.items() if re.match("RAY_|FEDRAY_", key)}
    write_down(Path.home().parent, "program", shlex.join(words), env=seen)
    if words[:2] == ["uv", "venv"]:
        scripts = Path(words[-1]) / "bin"
        scripts.mkdir(parents=True, exist_ok=True)
        (scripts / "activate").write_text(f"export PATH={scripts}:$PATH\n")
        (scripts / "ray").write_text((PROGRAMS / "uv").read_text().replace("program uv", "program ray"))
        (scripts / "ray").chmod(0o755)
    return 0


if __name__ == "__main__":
    sys.exit({"ssh": ssh, "rsync": rsync, "program": program}[sys.argv[1]](sys.argv[2:]))
