r"""Commands of a ROS user, run one after the other on a graph of the footage, and what they printed.

    python tools/ros_checklist.py docs/results/ros_checklist.json docs/ros-checklist.md

A line holds when the command ends with its code and prints what is expected. Each is run in a shell, from a
folder of its own, in a ROS domain that nobody else uses.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain_coordinator import domain_id

from dw_core.evaluation import documents
from dw_core.progress import bar

LIMIT_S = 180
# From the start of a graph until everybody is up, on a busy machine.
UP = "dw top --once --wait-s 60 > /dev/null && sleep 6"


@dataclass(frozen=True)
class Check:
    """`command` is to end with `code` and to print a line that matches `expected`: that is what was seen.
    `beside`: a command that runs meanwhile, up and running before."""

    what: str
    command: str
    expected: str
    code: int = 0
    beside: str = ""


CHECKS = (
    Check("is everything here", "dw doctor", r"ok +ROS .*"),
    Check("one process", "dw up --duration-s 10", r"\d+ nodes are active"),
    Check("a process per node", "dw up --composition isolated --rate-hz 5 --duration-s 25",
          r"\d+ nodes are active"),
    Check("how the nodes are", "dw top --once", r".*triangulation .*", beside="dw up"),
    Check("a live parameter that cannot be", "dw up --parameters bad.yaml", r"dw: .*own_weight.*", 2),
    Check("a bag with images", "dw record run --images --duration-s 8",
          r"recorded \d+ messages.*", beside="dw up"),
    Check("the same in sqlite3, in parts", "dw record parts --storage sqlite3 --split-s 3 --duration-s 8",
          r"recorded \d+ messages.*", beside="dw up"),
    Check("played again from the images", "dw replay run --rate 0 --record first", r"dw: played.*"),
    Check("and once more", "dw replay run --rate 0 --record second", r"dw: played.*"),
    Check("both are the same", "dw eval bag second --reference first", r"reference.*MPJPE 0\.0 mm.*"),
    Check("from the heatmaps at twice the speed", "dw replay run --from heatmaps --rate 2", r"dw: played.*"),
    Check("a bag that was cut", "cp run/run_0.mcap cut.mcap && truncate -s -3000000 cut.mcap && "
          "dw eval bag cut.mcap", r".*warning.*"),
    Check("a viewer's file of a bag", "dw view run --save run.rrd && du -k run.rrd", r"\d+\s+run\.rrd"),
    Check("and of one that was cut", "dw view cut.mcap --save cut.rrd", r".*warning.*"),
    Check("a node is killed", "pkill -9 -f '[h]eatmap.*/dw/cam02' && sleep 5; "
          "until dw top --once --namespace dw/cam02 | grep 'heatmap *OK'; do sleep 1; done",
          r".*cam02/heatmap +OK .*",
          beside="dw up --composition isolated --rate-hz 5"),
    Check("no such rig", "dw up --rig nowhere", r"dw: rig 'nowhere'.*", 2),
    Check("topics of ROS4HRI without hri_msgs", "dw up --hri", r"dw: hri_msgs.*", 2),
    Check("a robot of which nothing is known", "python -m dw_ros.nodes.separation_monitor", r"dw: .*", 2),
    Check("what ROS adds, one process, 60 exposures a second", "sleep 15; dw top --once",
          r".*triangulation .*waiting p50.*", beside="dw up"),
    Check("a process per node, 20 exposures a second", "sleep 25; dw top --once",
          r".*triangulation .*waiting p50.*", beside="dw up --composition isolated --rate-hz 5"),
    Check("one process, a recorder of all topics beside it", "dw demo --out composed",
          r".*waiting and transport.*"),
    Check("the same, 40 exposures a second", "dw demo --rate-hz 10 --out slower",
          r".*waiting and transport.*"),
    Check("a process per node and a recorder, 20 exposures a second",
          "dw demo --composition isolated --rate-hz 5 --out isolated", r".*waiting and transport.*"),
)  # fmt: skip


@contextmanager
def environment() -> Iterator[dict[str, str]]:
    """Of the commands: this environment's own tools, a free domain, nothing beyond this machine."""
    with domain_id() as domain:
        yield os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        }


@contextmanager
def running(command: str, folder: Path, environ: dict[str, str]) -> Iterator[None]:
    """A command that runs meanwhile; nothing when there is none."""
    if not command:
        yield
        return
    process = subprocess.Popen(
        shlex.split(command), cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        subprocess.run(["bash", "-c", UP], cwd=folder, env=environ, timeout=LIMIT_S, check=True)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(LIMIT_S)


def tried(check: Check, folder: Path, environ: dict[str, str]) -> dict[str, Any]:
    """One line: what was run, what was seen, whether that is what was expected."""
    with running(check.beside, folder, environ):
        done = subprocess.run(
            ["bash", "-c", check.command], cwd=folder, env=environ, timeout=LIMIT_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
    lines = [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", one).strip() for one in re.split(r"[\r\n]+", done.stdout)]
    found = [one for one in lines if re.search(check.expected, one)]
    seen = found[0] if found else next((one for one in reversed(lines) if one), "")
    return {
        "what": check.what,
        "command": check.command,
        "beside": check.beside,
        "code": done.returncode,
        "seen": re.sub(r"^\[INFO\] \[[\d.]+\] ", "", seen).replace(sys.prefix, ".venv"),
        "holds": bool(found) and done.returncode == check.code,
    }


def block_text(result: Sequence[dict[str, Any]]) -> str:
    """The table of the document."""
    rows = []
    for one in result:
        beside = f" (beside `{one['beside']}`)" if one["beside"] else ""
        seen = one["seen"].replace("|", r"\|")
        verdict = "yes" if one["holds"] else "NO"
        command = one["command"].replace("|", r"\|")
        rows.append([one["what"], f"`{command}`{beside}", f"`{seen}`, code {one['code']}", verdict])
    lines = [["what", "command", "seen", "holds"], ["---"] * 4, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(results: Path, document: Path) -> int:
    """Try everything; the number of lines that do not hold, as far as an exit code can say."""
    result = []
    bad = "/**/spatial_fusion:\n  ros__parameters:\n    own_weight: 7.0\n"
    with (
        environment() as environ,
        tempfile.TemporaryDirectory() as name,
        bar("checks", len(CHECKS)) as advance,
    ):
        folder = Path(name)
        (folder / "bad.yaml").write_text(bad)
        for check in CHECKS:
            result.append(tried(check, folder, environ))
            advance(1)
    results.write_text(json.dumps(result, indent=1) + "\n")
    documents.fill(document, "ros-checklist", block_text(result))
    failed = [one["what"] for one in result if not one["holds"]]
    print("\n".join(f"does not hold: {what}" for what in failed) or "everything holds")
    return min(len(failed), 100)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:3])))
