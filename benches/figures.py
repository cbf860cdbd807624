#!/usr/bin/env python3
"""The figures that git-datamon promises, measured with real git and git-lfs: prints a page of Markdown.

    cargo build --release && cargo build --release -p lfs-agent --example noop_agent
    python3 benches/figures.py --binary target/release/git-datamon [--quick] [--rounds N] [--only FIGURE]… [--out FILE]

An agent that does nothing, ours, and git-lfs's own file agent run in turns (A B C A B C …) on the same data; medians are shown.
Exits with 1 if a limit is missed. --quick uses small data and one round: it tells that the bench works, not how fast we are.
"""

import argparse
import contextlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from machine import Dataset, Failed, Machine, bytes_in, objects_in, temporary_directory
from page import Page, keep, machine_facts

MIB = 1 << 20
AGENTS = ("noop", "datamon", "file")
CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMORY_LIMIT = 256 * MIB


@dataclass
class Sizes:
    """How much data."""

    large: int
    small: int
    many: int
    again: int


FULL = Sizes(large=1024 * MIB, small=5_000, many=10_000, again=1_000)
QUICK = Sizes(large=64 * MIB, small=300, many=600, again=200)


def say(text):
    """What is going on."""
    print(f"-- {text}", file=sys.stderr, flush=True)


def median(costs, field):
    """Of one field of many costs."""
    return statistics.median(getattr(cost, field) for cost in costs)


def requests(counts):
    """The requests of a transfer in words."""
    return f"{counts['put']} PUT, {counts['get']} GET, {counts['head']} HEAD, {counts['list']} LIST"


# The agents beside each other


def push_once(data, agent):
    """Push everything to a new remote by one agent, without our hook: the agent does all the work."""
    remote = data.new_remote()
    command = ["git", "push", "-q", "origin", "main"]
    if agent == "datamon":
        data.new_store()
        cost = data.machine.measure(command, data.work, hooks=False)
        return cost, remote, bytes_in(data.store)
    if agent == "noop":
        lfs = data.work / ".git/lfs"
        return data.machine.measure(command, data.work, lfs, "noop::nowhere", hooks=False), remote, 0
    cost = data.machine.measure(command, data.work, False, f"file://{remote}", hooks=False)
    return cost, remote, bytes_in(remote / "lfs")


def clone_once(data, agent, remote, check):
    """Clone with checkout by one agent, on a machine that knows nothing of the store."""
    target = data.machine.path(f"{data.name}-clone-{agent}")
    command = ["git", "clone", "-q", f"file://{remote}", target]
    if agent == "datamon":
        data.machine.forget()
        cost = data.machine.measure(command)
    elif agent == "noop":
        cost = data.machine.measure(command, None, data.work / ".git/lfs", "noop::nowhere")
    else:
        cost = data.machine.measure(command, None, False, f"file://{remote}")
    if check and not data.same_files(target):
        raise Failed(f"the clone by {agent} in {target} differs from {data.work}")
    data.machine.set_aside(target)
    return cost


def beside(page, data, rounds):
    """Rounds of push and clone by all agents; the medians become rows. Returns our agent's CPU beyond one that does nothing."""
    pushes, clones = {agent: [] for agent in AGENTS}, {agent: [] for agent in AGENTS}
    stored = {}
    for turn in range(rounds):
        say(f"{data.name}: round {turn + 1} of {rounds}")
        remotes = {}
        for agent in AGENTS:
            cost, remotes[agent], stored[agent] = push_once(data, agent)
            pushes[agent].append(cost)
        for agent in AGENTS:
            clones[agent].append(clone_once(data, agent, remotes[agent], turn == 0))
        for remote in remotes.values():
            data.machine.set_aside(remote)
    names = {"noop": "one that does nothing", "datamon": "git-datamon", "file": "git-lfs's own file agent"}
    for agent in AGENTS:
        up, down = pushes[agent], clones[agent]
        cells = [f"{median(costs, field):.2f}" for costs in (up, down) for field in ("wall", "cpu")]
        of_agent = "in git-lfs" if agent == "file" else f"{median(up, 'agent'):.3f} / {median(down, 'agent'):.3f}"
        size = f"{stored[agent] / 1e6:.1f}" if stored[agent] else "none"
        page.peers.append((f"{data.files} x {data.size} B", names[agent], *cells, of_agent, size))
    beyond = [median(way["datamon"], "agent") - median(way["noop"], "agent") for way in (pushes, clones)]
    return beyond


# The figures


def large(page, machine, sizes, rounds):
    """One big file: the agent's CPU, an insertion at its head, and a transfer in little memory."""
    say(f"one random file of {sizes.large // MIB} MiB")
    data = Dataset(machine, "large", 1, sizes.large)
    size = f"{sizes.large / (1 << 30):g} GiB"
    _, down = beside(page, data, rounds)
    page.add(f"clone of {size} random: agent CPU beyond one that does nothing", "3 s", f"{down:.2f} s", down <= 3)
    within_memory(page, data, size)
    insertion(page, data, size)


def insertion(page, data, size):
    """A byte more at the head of what is in the store."""
    machine = data.machine
    data.new_store()
    data.new_remote()
    machine.measure(["git", "push", "-q", "origin", "main"], data.work)
    path = next((data.work / "data").rglob("*.bin"))
    grown = path.with_suffix(".new")
    with open(path, "rb") as old, open(grown, "wb") as new:
        new.write(b"\x01")
        while block := old.read(1 << 24):
            new.write(block)
    grown.rename(path)
    machine.run(["git", "commit", "-qam", "one byte at the head"], data.work)
    before = objects_in(data.store)
    machine.measure(["git", "push", "-q", "origin", "main"], data.work)
    after = objects_in(data.store)
    grown_by = sum(after.values()) - sum(before.values())
    puts = machine.stats(data.work)["last_transfer"]["requests"]["put"]
    page.add(
        f"1 byte inserted at the head of {size}, pushed",
        "1 MiB new, 5 PUT",
        f"{grown_by} bytes new in {len(after.keys() - before.keys())} objects, {puts} PUT",
        grown_by < MIB and puts <= 5,
    )


def within_memory(page, data, size):
    """Up and down with the agent in a control group of little memory."""
    figure, limit = f"{size} incompressible up and down in a memory group", "256 MiB"
    with control_group(MEMORY_LIMIT) as group:
        if isinstance(group, str):
            say(f"SKIPPED: {figure}: {group}")
            page.add(figure, limit, group, None)
            return
        remote = data.new_remote()
        data.new_store()
        try:
            up = data.machine.measure(["git", "push", "-q", "origin", "main"], data.work, cgroup=group, hooks=False)
            data.machine.forget()
            clone = data.machine.path("large-clone-limited")
            down = data.machine.measure(["git", "clone", "-q", f"file://{remote}", clone], cgroup=group)
        except Failed as error:
            page.add(figure, limit, str(error).strip().splitlines()[-1], False)
            return
        same = data.same_files(clone)
        data.machine.set_aside(clone)
        peaks = f"peak RSS {up.agent_peak / MIB:.0f} MiB up, {down.agent_peak / MIB:.0f} MiB down"
        proof = f"{highest(group)} with page cache; {killed(group)} killed"
        page.add(figure, limit, f"{peaks}; {proof}", same and killed(group) == 0)


@contextlib.contextmanager
def control_group(limit):
    """A control group with a memory limit, or why there is none."""
    first = CONTROL_GROUPS / "memory"
    parent, key = (first, "memory.limit_in_bytes") if first.is_dir() else (CONTROL_GROUPS, "memory.max")
    group = parent / f"datamon-bench-{os.getpid()}"
    made = False
    try:
        group.mkdir()
        made = True
        (group / key).write_text(str(limit))
    except OSError as error:
        if made:
            group.rmdir()
        yield f"no control group can be made here ({error}); run as root"
        return
    try:
        yield group
    finally:
        for _ in range(100):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.1)


def highest(group):
    """The most memory the group ever had, page cache included: that it is not zero shows the agent was in it."""
    for name in ("memory.max_usage_in_bytes", "memory.peak"):
        with contextlib.suppress(OSError):
            return f"{int((group / name).read_text()) / MIB:.0f} MiB"
    return "unknown"


def killed(group):
    """How many processes of the group the kernel ended for want of memory."""
    for name in ("memory.oom_control", "memory.events"):
        with contextlib.suppress(OSError):
            for line in (group / name).read_text().splitlines():
                word, _, count = line.partition(" ")
                if word == "oom_kill":
                    return int(count)
    return 0


def small(page, machine, sizes, rounds):
    """Many small files: what the agent adds to each."""
    say(f"{sizes.small} files of 20 KiB")
    data = Dataset(machine, "small", sizes.small, 20 << 10)
    for way, beyond in zip(("pushed", "cloned"), beside(page, data, rounds), strict=True):
        each = beyond * 1000 / sizes.small
        figure = f"{sizes.small} files of 20 KiB {way}: agent CPU an object beyond one that does nothing"
        page.add(figure, "0.3 ms", f"{each:.3f} ms", each <= 0.3)


def many(page, machine, sizes, _):
    """Many small files: how many requests."""
    say(f"{sizes.many} files of 20 KB")
    data = Dataset(machine, "many", sizes.many, 20_000)
    for hooks, by in ((False, "git-lfs's hook"), (True, "our hook")):
        data.new_store()
        remote = data.new_remote()
        empty, head = objects_in(data.store), machine.stats(data.work)["log_head"]
        machine.forget()
        machine.measure(["git", "push", "-q", "origin", "HEAD"], data.work, hooks=hooks)
        stats = machine.stats(data.work)
        created = len(objects_in(data.store).keys() - empty.keys())
        counts, entries = stats["last_transfer"]["requests"], stats["log_head"] - head
        # The entry that makes the repo known comes once in the life of a repo, before its first push.
        measured = f"{requests(counts)}; {created} objects, log entries: {entries}"
        figure = f"{sizes.many} files of 20 KB pushed as HEAD, {by}"
        page.add(figure, "30 PUT, 1 entry", measured, counts["put"] <= 30 and created <= 30 and entries == 1)
    machine.forget()
    clone = machine.path("many-clone")
    machine.measure(["git", "clone", "-q", f"file://{remote}", clone])
    counts = machine.stats(clone)["last_transfer"]["requests"]
    same = data.same_files(clone)
    page.add(f"{sizes.many} files of 20 KB cloned", "60 GET", requests(counts), same and counts["get"] <= 60)


def again(page, machine, sizes, _):
    """A push of all there is, when all of it is there; with many objects their rows no longer fit into the log entry."""
    # Rows of some 1,600 files fit into the entry; those of more lie in a segment, which is one PUT more (docs/adr/0003).
    for name, files, puts in (("again", sizes.again, 1), ("again-many", sizes.small, 2)):
        push_again(page, Dataset(machine, name, files, 20 << 10), puts)


def push_again(page, data, puts):
    """Ten such pushes in a row."""
    machine = data.machine
    say(f"{data.files} files, pushed again")
    data.new_remote()
    machine.measure(["git", "push", "-q", "origin", "main"], data.work)
    costs, counts = [], []
    for _ in range(10):
        costs.append(machine.measure(["git", "lfs", "push", "--all", "origin"], data.work))
        counts.append(machine.stats(data.work)["last_transfer"]["requests"])
    # Each such push lengthens the log's tail by a row an object, and the one that finds it too long writes a checkpoint: it is
    # shown beside the typical one, which is judged.
    typical = {kind: statistics.median_high(one[kind] for one in counts) for kind in counts[0]}
    within = sum(one["get"] <= 2 and one["put"] <= puts for one in counts)
    most = max(counts, key=lambda one: one["get"] + one["put"])
    page.add(
        f"`git lfs push --all` of {data.files} files with nothing new, warm, median of 10 in a row",
        f"2 GET, {puts} PUT",
        f"{requests(typical)}; {within} of 10 within, the most {requests(most)};"
        f" agent CPU {median(costs, 'agent') * 1000:.0f} ms",
        typical["get"] <= 2 and typical["put"] <= puts,
    )


def init(page, machine, *_):
    """From exec to the reply to `init`."""
    repo = machine.root / "init"
    machine.run(["git", "init", "-q", repo])
    line = {"event": "init", "operation": "upload", "remote": "origin", "concurrent": False, "concurrenttransfers": 8}
    times = []
    for _ in range(25):
        begin = time.perf_counter()
        agent = subprocess.Popen(
            [machine.binary, "lfs-agent"],
            cwd=repo,
            env=machine.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            close_fds=False,
        )
        agent.stdin.write(json.dumps(line).encode() + b"\n")
        agent.stdin.flush()
        reply = agent.stdout.readline()
        times.append((time.perf_counter() - begin) * 1000)
        agent.stdin.close()
        agent.wait()
        if json.loads(reply) != {}:
            raise Failed(f"init is answered with {reply}")
    warm = times[5:]
    measured = f"{statistics.median(warm):.2f} ms, worst {max(warm):.2f} ms"
    page.add("`init` answered, from exec, median of 20, warm", "5 ms", measured, statistics.median(warm) <= 5)


FIGURES = {"init": init, "again": again, "many": many, "small": small, "large": large}


def main():
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description="Measure the figures git-datamon promises.")
    parser.add_argument("--binary", required=True, type=Path, help="git-datamon, as built with --release")
    parser.add_argument("--quick", action="store_true", help="small data, one round")
    parser.add_argument("--rounds", type=int, help="rounds of the comparisons (3)")
    parser.add_argument("--only", action="append", choices=FIGURES, help="only these")
    parser.add_argument("--dir", type=Path, help="where the data goes (TMPDIR); some 25 GB on a real disk")
    parser.add_argument("--out", type=Path, help="write the page here as well; in a file that marks a place for it, there only")
    args = parser.parse_args()
    rounds = args.rounds or (1 if args.quick else 3)
    sizes = QUICK if args.quick else FULL
    noop = args.binary.resolve().parent / "examples" / "noop_agent"
    for program, build in (
        (args.binary, "cargo build --release"),
        (noop, "cargo build --release -p lfs-agent --example noop_agent"),
    ):
        if not program.is_file():
            parser.error(f"{program} is not there: {build}")
    page = Page()
    with temporary_directory(args.dir) as root:
        machine = Machine(root, args.binary)
        for name in FIGURES:
            if not args.only or name in args.only:
                FIGURES[name](page, machine, sizes, rounds)
        command = shlex.join(["python3", "benches/figures.py", *sys.argv[1:]])
        text = f"{machine_facts(command, root, rounds)}\n{page.markdown()}\n"
    print(text)
    if args.out:
        keep(text, args.out)
    return 1 if page.missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(f"figures.py: {error}")
