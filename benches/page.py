"""The page of Markdown that the bench prints: what was measured, where and how."""

import contextlib
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path


class Page:
    """What was measured."""

    def __init__(self):
        self.rows = []
        self.peers = []
        self.missed = False

    def add(self, figure, limit, measured, met):
        """One figure; `met` is None where it could not be measured."""
        verdict = "SKIPPED" if met is None else "yes" if met else "**NO**"
        self.missed |= met is False
        self.rows.append((figure, limit, measured, verdict))
        print(f"{verdict:8} {figure}: {measured} (limit {limit})", file=sys.stderr)

    def markdown(self):
        """Both tables."""
        lines = ["| figure | limit | measured | met |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        if self.peers:
            head = (
                "| data | agent | push wall s | push CPU s | clone wall s | clone CPU s | agent CPU s, up / down | stored MB |"
            )
            lines += ["", head, "|---|---|---|---|---|---|---|---|"]
            lines += [f"| {' | '.join(row)} |" for row in self.peers]
        return "\n".join(lines)


def machine_line(root):
    """The machine in one line; `root` lies on the file system that was measured."""
    model = "unknown processor"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    version = lambda *words: subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\n")[0]
    file_system = version("stat", "-f", "-c", "%T", str(root))
    return (
        f"{datetime.now(timezone.utc):%Y-%m-%d} · {model}, {os.cpu_count()} cores · Linux {platform.release()}"
        f" · {version('git', '--version')} · {version('git-lfs', 'version').split(' ')[0]} · {file_system} ·"
        f" load {os.getloadavg()[0]:.1f} at the end."
    )


def machine_facts(command, root, rounds):
    """Where and how it was measured."""
    return "\n".join(
        [
            f"`{command}`",
            "",
            machine_line(root),
            "",
            f"Medians of {rounds} round(s), agents in turns on the same data. Page cache warm; nothing cached of the store for a"
            " push or clone unless it says warm. Every object we write to the store is fsynced, and its directory;"
            " git-lfs's file agent syncs nothing, hard-links where it can, and neither cuts nor compresses. CPU is user + system"
            " of all processes of the git command; the agent's own stands apart, without the script that measures it"
            " (which adds some 0.02 s to the first two agents' command). All data is random, so nothing shrinks."
            " Requests are those of the whole session, opening the store included.",
            "",
        ]
    )


def keep(text, path, place="figures"):
    """Write the page to a file: between the two marks of its place if it has them, so that what stands around it stays."""
    begin, end = f"<!-- {place}: begin -->", f"<!-- {place}: end -->"
    old = path.read_text() if path.exists() else ""
    before, opened, rest = old.partition(begin)
    _, closed, after = rest.partition(end)
    path.write_text(f"{before}{begin}\n{text}{end}{after}" if opened and closed else text)
