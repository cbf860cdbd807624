#!/usr/bin/env python3
"""Ours beside its peers in one run, in a directory and in buckets: prints pages of Markdown, and draws them.

    benches/compare.sh                                            everything from nothing, into docs/benchmarks.md
    python3 benches/compare.py --bin DIR --data DIR --work DIR    peers and data as peers.sh and datasets.py leave them
    python3 benches/compare.py --tsv FILE --only-report           the pages of rows that were measured before
    python3 benches/compare.py … --resume                         only what is missing in the rows: a killed run, more rounds

Places: `tree` is a directory that takes three versions of a few groups, for the limits of peers/winning.py; `directory`, `s3`,
`s3-20ms` and `s3-100ms` take each dataset, its next version, and give that back. Which tools there are, and how they are called:
benches/peers/directory.py, bucket.py and repositories.py. A group in a place is a unit of some 10 to 90 s; its rows go to a file of
tab-separated values when it ends, and the pages are made of that file.
"""

import argparse
import contextlib
import os
import shlex
import signal
import sys
import time
from pathlib import Path

from page import keep, machine_line
from peers import incremental, plot, report, results, tools
from peers.places import PLACES, TREE, Server
from peers.rounds import Contest
from peers.step import Failed, Meter


def arguments():
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default="target/compare/peers/bin", help="where the peers are")
    parser.add_argument("--ours", type=Path, default="target/release/examples", help="where `tree`, `passes` and `bucket` are")
    parser.add_argument("--data", type=Path, default="target/compare/data", help="what datasets.py made")
    parser.add_argument("--work", type=Path, default="target/compare/work", help="where stores and trees go, and go away")
    parser.add_argument("--tsv", type=Path, default="target/compare/results.tsv", help="where the rows go")
    parser.add_argument("--resume", action="store_true", help="keep the rows that are there, and measure what is missing")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=60, help="seconds for a step of a dataset; who needs more is out (60)")
    groups = list(dict.fromkeys(group for place in PLACES.values() for group in place.groups))
    lists = {"places": list(PLACES), "only": groups, "tools": tools.names()}
    for field, known in lists.items():
        parser.add_argument(f"--{field}", default=",".join(known), help=("groups: " if field == "only" else "") + ", ".join(known))
    parser.add_argument("--only-report", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, help="a page that marks places for them, as docs/benchmarks.md; plots beside it")
    args = parser.parse_args()
    for field, known in lists.items():
        setattr(args, field, getattr(args, field).split(","))
        for word in getattr(args, field):
            if word not in known:
                parser.error(f"--{field}: {word} is not one of {', '.join(known)}")
    return args


def programs(args):
    """What the templates of tools stand on."""
    return {"bin": args.bin.resolve(), "ours": args.ours.resolve()}


def chosen(args, place):
    """The tools of a place that are wanted."""
    return [tool for name, tool in tools.table(place).items() if name in args.tools]


def missing(args):
    """Programs that are needed and not there, with the line that makes them."""
    words = {word for place in args.places for tool in chosen(args, place) for word in f"{tool.ingest} {tool.version}".split()}
    words |= {"{bin}/s3s-fs", "{ours}/bucket"} if any(PLACES[place].delay is not None for place in args.places) else set()
    for word in sorted(words):
        program = Path(word.format_map(Blank(programs(args))))
        if word.startswith(("{bin}/", "{ours}/")) and not program.is_file():
            made = f"benches/peers.sh {args.bin.parent}"
            if word.startswith("{ours}/"):
                made = f"cargo build --release --bins --example {program.name}"
            yield f"{word} is not there: {made}, or leave out who needs it with --tools or --places"


class Blank(dict):
    """Placeholders without a value stay empty."""

    def __missing__(self, key):
        return ""


def units(args):
    """What there is to do, each (place, group, turn): whole rounds, so that a run that was ended has some."""
    for turn in range(args.rounds):
        for name in args.places:
            for group in PLACES[name].groups:
                if group in args.only:
                    yield PLACES[name], group, turn


def contenders(args, place, group, rows):
    """The tools of a unit, without those that failed or overran here before, or where it was nearer."""
    out = {
        row.tool
        for row in rows
        if row.stopped and row.group == group and (row.place == place.name or is_nearer(PLACES[row.place], place))
    }
    return [tool for tool in chosen(args, place.name) if tool.name not in out]


def is_nearer(one, other):
    """Whether both are buckets, and one is not so far away."""
    return None not in (one.delay, other.delay) and one.delay < other.delay


def measure(args):
    """All rounds; the rows of a unit are written when it ends. Returns how memory was measured."""
    args.work.mkdir(parents=True, exist_ok=True)
    args.tsv.parent.mkdir(parents=True, exist_ok=True)
    rows = results.load(args.tsv) if args.resume else []
    done = {(row.place, row.group, row.round) for row in rows}
    todo = [unit for unit in units(args) if (unit[0].name, unit[1], unit[2] + 1) not in done]
    left = sum(place.minutes / len(place.groups) for place, *_ in todo)
    print(f"{len(todo)} units, some {left:.0f} minutes on two cores at the default scale", file=sys.stderr, flush=True)
    if not rows:
        args.tsv.write_text(results.HEAD + "\n")
    with contextlib.ExitStack() as stack:
        meter = stack.enter_context(Meter(args.work / "log"))
        out = stack.enter_context(open(args.tsv, "a", encoding="utf-8"))
        server = None
        if any(place.delay is not None for place, *_ in todo):
            server = Server(args.bin / "s3s-fs", args.ours / "bucket", args.work.resolve() / "buckets", args.work / "server.log")
            stack.enter_context(server)
        contest = Contest(programs(args), args.data.resolve(), args.work.resolve(), meter, server, args.limit)
        stack.callback(contest.clean)
        begin, before = time.monotonic(), None
        for at, (place, group, turn) in enumerate(todo, 1):
            # Not between groups, of which those with many files come last: a mass delete slows down whoever creates files next.
            if before not in (None, place):
                contest.clean()
            before = place
            new = contest.unit(place, group, turn, contenders(args, place, group, rows))
            rows += new
            print("\n".join(row.line() for row in new), file=out, flush=True)
            gone = (time.monotonic() - begin) / 60
            print(f"-- {at} of {len(todo)} units in {gone:.1f} minutes", file=sys.stderr, flush=True)
        return meter.memory_is


def write(args, memory):
    """The pages, and the plots beside them. Returns whether a limit is missed."""
    rows = results.load(args.tsv)
    facts = {"command": command(args), "machine": machine_line(args.tsv.parent), "memory": memory}
    missed = False
    trees = [row for row in rows if row.place == TREE]
    others = {name: [row for row in rows if row.place == name] for name in PLACES if name != TREE}
    if trees:
        order = list(PLACES[TREE].groups)
        found, table = results.Results(sorted(trees, key=lambda row: order.index(row.group))), tools.table(TREE)
        written = report.Report(found, table)
        missed |= any(verdict.met is False for verdict in written.judge.verdicts())
        drawing = draw(args, "", plot.draw(found, table))
        put(args, "compare", report.page(written, facts, which(args, table), drawing))
    if any(others.values()):
        found = {name: results.Results(of_place) for name, of_place in others.items() if of_place}
        tables = {name: tools.table(name) for name in found}
        judged = incremental.Figure(found, tables)
        missed |= any(line.met is False for line in judged.lines())
        drawing = draw(args, "-buckets", plot.draw_places(found, tables))
        versions = {name: said for table in tables.values() for name, said in which(args, table).items()}
        put(args, "buckets", incremental.page(judged, facts, versions, drawing))
    return missed


def which(args, table):
    """The versions of tools."""
    return {name: tool.which(Blank(programs(args))) for name, tool in table.items()}


def draw(args, suffix, picture):
    """Keep a picture beside the page; its name."""
    if not args.out:
        return None
    path = args.out.with_name(f"{args.out.stem}{suffix}.svg")
    path.write_text(picture)
    return path.name


def put(args, place, text):
    """Print, and keep in the page."""
    if args.out:
        keep(text, args.out, place)
    print(text)


def command(args):
    """The command line, without the places of one machine."""
    shown = shlex.join(["python3", "benches/compare.py", *sys.argv[1:]])
    known = {str(getattr(args, name)): f"${name.upper()}" for name in ("bin", "ours", "data", "work", "tsv", "out")}
    for where in sorted(known, key=len, reverse=True):
        if os.path.isabs(where):
            shown = shown.replace(where, known[where])
    return shown


def main():
    """Measure, print; 1 if a limit is missed."""
    args = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    memory = "as the run measured it"
    if not args.only_report:
        if absent := list(missing(args)):
            sys.exit("\n".join(absent))
        memory = measure(args)
    return 1 if write(args, memory) else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        try:
            sys.exit(main())
        except (Failed, ValueError) as error:
            sys.exit(f"compare.py: {error}")
    sys.exit(130)
