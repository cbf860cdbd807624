"""One command, measured: seconds, processor, memory, and what its bytes cost until they are on the disk."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

SAMPLE_EVERY = 0.002
CONTROL_GROUPS = Path("/sys/fs/cgroup")


class Failed(Exception):
    """A command that had to work did not."""


class Overran(Failed):
    """A command was ended after so many seconds."""


@dataclasses.dataclass
class Cost:
    """Of one command with all processes it started and waited for."""

    wall: float  # seconds from its start to its end
    cpu: float  # seconds of the processor, user and system
    sync: float  # seconds of `sync -f` after it: wall + sync is durable
    memory: int  # highest sum of what its processes held at one time, bytes, without page cache
    output: str


def control_group(root=CONTROL_GROUPS):
    """A memory group of our own, and the fields of its `memory.stat` that are not page cache; None where none can be made."""
    first = root / "memory"
    parent, fields = (first, (b"rss", b"shmem")) if first.is_dir() else (root, (b"anon", b"shmem"))
    group = parent / f"datamon-compare-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.stat").read_bytes()
    except OSError:
        with contextlib.suppress(OSError):
            group.rmdir()
        return None, ()
    return group, fields


class Meter:
    """Runs commands and measures them; ends what runs when it is left."""

    def __init__(self, log):
        self.log = log
        self.group, self.fields = control_group()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.group:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    self.group.rmdir()
                    break
                time.sleep(0.05)

    @property
    def memory_is(self):
        """How memory is measured, in words."""
        if self.group:
            names = " + ".join(field.decode() for field in self.fields)
            return f"`{names}` of a memory control group around the command, without page cache, read every 2 ms"
        return "the sum of PSS over all processes of the command, read every 5 ms"

    def run(self, line, env, synced, limit=1800):
        """What a line of sh costs, ended after `limit` seconds; then everything on the file system of `synced` is synced."""
        with open(self.log, "a+b") as out:
            out.write(f"$ {line}\n".encode())
            out.flush()
            start = out.tell()
            wall, cpu, memory, status = self.spawn(line, env, out, limit)
            out.seek(start)
            text = out.read().decode(errors="replace")
        begin = time.monotonic()
        subprocess.run(["sync", "-f", synced], check=True)
        if status == -signal.SIGKILL and wall >= limit:
            raise Overran(f"`{line}` took more than {limit:g} s")
        if status != 0:
            raise Failed(f"`{line}` exits with {status}:\n{text[-2000:]}")
        return Cost(wall, cpu, time.monotonic() - begin, memory, text)

    def spawn(self, line, env, out, limit):
        """The shell is put into the group before the clock starts: moving it there costs milliseconds of its own."""
        procs = self.group / "cgroup.procs" if self.group else "/dev/null"
        wait = 'echo 0 >"$0" && echo ready && read -r go && exec sh -c "$1" </dev/null >&2'
        shell = subprocess.Popen(
            ["sh", "-c", wait, procs, line],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            start_new_session=True,
        )
        ended = threading.Event()
        sampler = Sampler(self.group, self.fields, shell.pid, ended)
        guard = threading.Timer(limit, os.killpg, (shell.pid, signal.SIGKILL))
        try:
            shell.stdout.readline()
            sampler.start()
            guard.start()
            begin = time.monotonic()
            shell.stdin.write(b"go\n")
            shell.stdin.flush()
            _, status, used = os.wait4(shell.pid, 0)
            wall = time.monotonic() - begin
            shell.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            with contextlib.suppress(OSError):
                os.killpg(shell.pid, signal.SIGKILL)
            raise
        finally:
            ended.set()
            guard.cancel()
            sampler.join()
            shell.stdin.close()
            shell.stdout.close()
        return wall, used.ru_utime + used.ru_stime, sampler.highest, shell.returncode


class Sampler(threading.Thread):
    """Keeps the highest memory seen."""

    def __init__(self, group, fields, pid, ended):
        super().__init__(daemon=True)
        self.group, self.fields, self.pid, self.ended, self.highest = group, fields, pid, ended, 0

    def run(self):
        """Until the command has ended."""
        if self.group:
            with open(self.group / "memory.stat", "rb", buffering=0) as stat:
                while not self.ended.wait(SAMPLE_EVERY):
                    stat.seek(0)
                    self.highest = max(self.highest, self.held(stat.read(8192)))
        else:
            while not self.ended.wait(0.005):
                self.highest = max(self.highest, sum(map(proportional, descendants(self.pid))))

    def held(self, text):
        """Bytes of the fields that count."""
        return sum(int(line.split()[1]) for line in text.split(b"\n") if line.partition(b" ")[0] in self.fields)


def descendants(pid):
    """A process and all that came of it."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{one}/task"):
                found += map(int, Path(f"/proc/{one}/task/{task}/children").read_text().split())
    return found


def proportional(pid):
    """The proportional set size of a process, bytes."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0
