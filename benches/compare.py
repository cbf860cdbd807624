#!/usr/bin/env python3
"""Ours beside its peers on a directory tree, in one run: prints a page of Markdown, and draws it.

    benches/compare.sh                                            everything from nothing, into docs/benchmarks.md
    python3 benches/compare.py --bin DIR --data DIR --work DIR    peers and data as peers.sh and datasets.py leave them
    python3 benches/compare.py --tsv FILE --only-report           the page of rows that were measured before

Which tools there are, and how they are called: benches/peers/tools.py. The rows go to a file of tab-separated values as they
are measured, and the page is made of that file.
"""

import argparse
import contextlib
import os
import shlex
import sys
from pathlib import Path

from page import keep, machine_line
from peers import plot, report, results, tools, trees
from peers.rounds import Contest
from peers.step import Failed, Meter


def arguments():
    """What was asked for, and the table of tools cut down to it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default="target/compare/peers/bin", help="where the peers are")
    parser.add_argument("--ours", type=Path, default="target/release/examples", help="where `tree` and `passes` are")
    parser.add_argument("--data", type=Path, default="target/compare/data", help="what datasets.py made")
    parser.add_argument("--work", type=Path, default="target/compare/work", help="where stores and trees go, and go away")
    parser.add_argument("--tsv", type=Path, default="target/compare/results.tsv", help="where the rows go")
    parser.add_argument("--append", action="store_true", help="keep the rows that are there: more rounds of the same programs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--groups", default=",".join(trees.GROUPS))
    parser.add_argument("--tools", default=",".join(tools.table()), help="all: " + ", ".join(tools.table()))
    parser.add_argument("--only-report", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, help="a page that marks a place for it, as docs/benchmarks.md; plot beside it")
    args = parser.parse_args()
    for field, known in (("groups", trees.GROUPS), ("tools", tools.table())):
        words = getattr(args, field).split(",")
        setattr(args, field, words)
        for word in words:
            if word not in known:
                parser.error(f"--{field}: {word} is not one of {', '.join(known)}")
    return args


def places(args):
    """What the templates of tools stand on."""
    return {"bin": args.bin.resolve(), "ours": args.ours.resolve()}


def missing(chosen, args):
    """Programs that a chosen tool needs and that are not there, with the line that makes them."""
    for tool in chosen:
        for word in tool.ingest.split():
            program = Path(word.format_map(Blank(places(args))))
            if word.startswith(("{bin}/", "{ours}/")) and not program.is_file():
                made = f"benches/peers.sh {args.bin.parent}"
                if word.startswith("{ours}/"):
                    made = f"cargo build --release --example {program.name}"
                yield f"{tool.name} needs {word}, which is not there: {made}, or leave it out with --tools"


class Blank(dict):
    """Placeholders without a value stay empty."""

    def __missing__(self, key):
        return ""


def measure(args, chosen):
    """All rounds; rows are written as they come. Returns how memory was measured, and what had to be dropped."""
    args.work.mkdir(parents=True, exist_ok=True)
    args.tsv.parent.mkdir(parents=True, exist_ok=True)
    if not (args.append and args.tsv.exists()):
        args.tsv.write_text(results.HEAD + "\n")
    with open(args.tsv, "a", encoding="utf-8") as rows, Meter(args.work / "log") as meter:

        def emit(row):
            print(row.line(), file=rows, flush=True)
            print(
                f"{row.group:7} {row.step:11} round {row.round} {row.tool:12} wall {row.wall:6.2f} cpu {row.cpu:6.2f}"
                f" sync {row.sync:5.2f} memory {row.memory >> 20:5} MiB new {row.new / 1e6:7.1f} MB"
                f" stored {row.stored / 1e6:7.1f} MB{'' if row.right else '  WRONG BYTES'}",
                file=sys.stderr,
            )

        contest = Contest(chosen, places(args), args.data.resolve(), args.work.resolve(), meter, emit)
        try:
            contest.run(args.groups, args.rounds)
        finally:
            contest.clean()
        return meter.memory_is, contest.dropped


def write(args, memory):
    """The page, and the plot beside it. Returns whether a limit is missed."""
    order = list(trees.GROUPS)
    rows = sorted(results.load(args.tsv), key=lambda row: order.index(row.group))
    table, found = tools.table(), results.Results(rows)
    which = {name: tool.which(Blank(places(args))) for name, tool in table.items()}
    facts = {"command": command(args), "machine": machine_line(args.tsv.parent), "memory": memory}
    drawing = args.out and args.out.with_suffix(".svg")
    written = report.Report(found, table)
    text = report.page(written, facts, which, drawing and drawing.name)
    if args.out:
        drawing.write_text(plot.draw(found, table))
        keep(text, args.out, "compare")
    print(text)
    return any(verdict.met is False for verdict in written.judge.verdicts())


def command(args):
    """The command line, without the places of one machine."""
    shown = shlex.join(["python3", "benches/compare.py", *sys.argv[1:]])
    places = {str(getattr(args, name)): f"${name.upper()}" for name in ("bin", "ours", "data", "work", "tsv", "out")}
    for where in sorted(places, key=len, reverse=True):
        if os.path.isabs(where):
            shown = shown.replace(where, places[where])
    return shown


def main():
    """Measure, print; 1 if a limit is missed or a tool had to be dropped."""
    args = arguments()
    chosen = [tool for name, tool in tools.table().items() if name in args.tools]
    memory, dropped = "as the run measured it", ()
    if not args.only_report:
        if absent := list(missing(chosen, args)):
            sys.exit("\n".join(absent))
        memory, dropped = measure(args, chosen)
    return 1 if write(args, memory) or dropped else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        try:
            sys.exit(main())
        except (Failed, ValueError) as error:
            sys.exit(f"compare.py: {error}")
    sys.exit(130)
