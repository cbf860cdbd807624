#!/usr/bin/env python3
"""`git datamon commit`, `push` and `clone` beside git with git-lfs and an agent that does nothing: prints a table of Markdown.

    cargo build --release && cargo build --release -p lfs-agent --example noop_agent
    python3 benches/verbs.py --binary target/release/git-datamon [--quick] [--rounds N] [--only NAME]… [--root DIR]

Both run in turns on the same data; medians are shown, of the wall clock and of the processor time of all processes. Exits with 1 if
a limit is missed. Wants a quiet machine, and on --root (by default the temporary directory; a tmpfs leaves the disk out of it) five
times the data. PATH decides which git-lfs is measured: run it once for each version. --quick uses small data and one round: it
tells that the bench works, not how fast we are.
"""

import argparse
import os
import random
import shutil
import statistics
import sys
from pathlib import Path

from machine import Failed, Machine, temporary_directory, write_files
from page import machine_line

MIB = 1 << 20
# What git-lfs takes, over what we take, at least: commit and push CPU, commit and push wall, clone CPU.
LIMITS = {"random": (3, 3, 4), "csv": (2, 3, 4), "small": (3, 3, 4)}


def write_csv(folder, size):
    """One file of random numbers with two decimals, twelve a line."""
    source = random.Random(12)
    pool = [f"{source.gauss(100, 30):.2f}" for _ in range(100_000)]
    folder.mkdir(parents=True)
    with open(folder / "table.csv", "w", encoding="ascii") as file:
        while file.tell() < size:
            cells = source.choices(pool, k=120_000)
            file.writelines(",".join(cells[at : at + 12]) + "\n" for at in range(0, len(cells), 12))


class Source:
    """A repository that tracks data/ and has nothing in it but its set-up, and the data beside it."""

    def __init__(self, machine, name, write):
        self.machine, self.name = machine, name
        self.data = machine.root / f"{name}-data"
        write(self.data)
        for path in self.data.rglob("*"):
            os.utime(path, (1_700_000_000, 1_700_000_000))

    def repository(self):
        """A new one, with a store and a remote of its own, that nobody knows anything of."""
        machine = self.machine
        machine.forget()
        work, store, remote = (machine.path(f"{self.name}-{what}") for what in ("work", "store", "remote"))
        machine.run(["git", "init", "-q", work])
        machine.run(["git", "init", "-q", "--bare", remote])
        machine.run(["git", "datamon", "--quiet", "init", "--store", store, "--track", "data/**"], work)
        machine.run(["git", "commit", "-qm", "set up"], work)
        machine.run(["git", "remote", "add", "origin", f"file://{remote}"], work)
        shutil.copytree(self.data, work / "data", copy_function=shutil.copy2)
        return work, remote


def total(costs):
    """Wall and processor time of commands one after the other."""
    return sum(cost.wall for cost in costs), sum(cost.cpu for cost in costs)


def by_git(source, work):
    """Add, commit and push as ever, by an agent that does nothing and without our hook."""
    machine, lfs = source.machine, work / ".git/lfs"
    commands = (["git", "add", "-A"], ["git", "commit", "-qm", "data"], ["git", "push", "-q", "origin", "main"])
    return total([machine.measure(command, work, lfs, "noop::nowhere", hooks=False) for command in commands])


def by_us(source, work):
    """The same by our own verbs."""
    machine = source.machine
    commands = (["git", "datamon", "-q", "commit", "-m", "data", "."], ["git", "datamon", "-q", "push", "origin", "main"])
    return total([machine.measure(command, work) for command in commands])


def clone_by_git(source, work, remote):
    """A clone with checkout; the agent links the objects that are in `work`."""
    target = source.machine.path(f"{source.name}-clone")
    cost = source.machine.measure(["git", "clone", "-q", f"file://{remote}", target], None, work / ".git/lfs", "noop::nowhere")
    return target, (cost.wall, cost.cpu)


def clone_by_us(source, _, remote):
    """A clone on a machine that knows nothing of the store."""
    source.machine.forget()
    target = source.machine.path(f"{source.name}-clone")
    cost = source.machine.measure(["git", "datamon", "-q", "clone", f"file://{remote}", target])
    check_settled(source.machine, target)
    return target, (cost.wall, cost.cpu)


def check_settled(machine, work):
    """Git finds nothing changed and asks no filter for it."""
    trace = machine.path("trace")
    machine.base["GIT_TRACE"] = str(trace)
    said = machine.run(["git", "status", "--porcelain"], work)
    del machine.base["GIT_TRACE"]
    if said or "git-lfs" in trace.read_text():
        raise Failed(f"git status in {work} is not settled:\n{said}{trace.read_text()}")


def check_same(source, work, other):
    """The clones agree with the data and with each other."""
    listed = [source.machine.run(["git", "lfs", "ls-files", "--long", "--size"], place) for place in (work, other)]
    wrong = [place for place in (work, other) if os.system(f"diff -rq '{source.data}' '{place / 'data'}' >/dev/null")]
    if wrong or listed[0] != listed[1]:
        raise Failed(f"{work} and {other} differ from {source.data}")


def measure(source, rounds):
    """Medians of (wall, cpu) for commit and push, and for clone: git's, then ours."""
    seen = {(who, what): [] for who in ("git", "ours") for what in ("commit", "clone")}
    for turn in range(rounds):
        print(f"-- {source.name}: round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
        places = []
        for who, commit, clone in (("git", by_git, clone_by_git), ("ours", by_us, clone_by_us)):
            work, remote = source.repository()
            seen[who, "commit"].append(commit(source, work))
            target, cost = clone(source, work, remote)
            seen[who, "clone"].append(cost)
            places += [target, work]
        check_same(source, places[0], places[2])
        for place in places:
            shutil.rmtree(place)
    return {key: tuple(statistics.median(one[at] for one in costs) for at in (0, 1)) for key, costs in seen.items()}


def rows(name, seen, limits):
    """Two lines of the table, and whether all limits are met."""
    lines, met = [], True
    for what, title, (wall_limit, cpu_limit) in (
        ("commit", "commit + push", (limits[1], limits[0])),
        ("clone", "clone", (None, limits[2])),
    ):
        (wall, cpu), (our_wall, our_cpu) = seen["git", what], seen["ours", what]
        wall_times, cpu_times = wall / our_wall, cpu / our_cpu
        good = cpu_times >= cpu_limit and (wall_limit is None or wall_times >= wall_limit)
        met &= good
        cells = (f"{wall:.2f}", f"{our_wall:.2f}", f"{wall_times:.1f} x", f"{cpu:.2f}", f"{our_cpu:.2f}", f"{cpu_times:.1f} x")
        limit = f"CPU {cpu_limit} x" + (f", wall {wall_limit} x" if wall_limit else "")
        lines.append(f"| {name} | {title} | {' | '.join(cells)} | {limit} | {'yes' if good else '**NO**'} |")
    return lines, met


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", action="append", choices=sorted(LIMITS))
    parser.add_argument("--root", type=Path)
    args = parser.parse_args()
    large, many = (32 * MIB, 300) if args.quick else (1024 * MIB, 5_000)
    writers = {
        "random": lambda folder: write_files(folder, 1, large),
        "csv": lambda folder: write_csv(folder, large),
        "small": lambda folder: write_files(folder, many, 20 << 10),
    }
    titles = {"random": f"{large >> 20} MiB random", "csv": f"{large >> 20} MiB CSV", "small": f"{many} x 20 KiB"}
    print("| data | what | git wall s | ours | times | git CPU s | ours | times | limit | met |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    all_met = True
    with temporary_directory(args.root) as root:
        machine = Machine(root, args.binary)
        for name in args.only or LIMITS:
            source = Source(machine, name, writers[name])
            lines, met = rows(titles[name], measure(source, args.rounds or (1 if args.quick else 3)), LIMITS[name])
            print("\n".join(lines), flush=True)
            all_met &= met
        print(f"\n{machine_line(root)}")
    return 0 if all_met or args.quick else 1


if __name__ == "__main__":
    sys.exit(main())
