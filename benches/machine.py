"""A machine of the bench's own: home, configuration and caches in one directory, real git and git-lfs, and what they cost."""

import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent

HOOK = '#!/bin/sh\nexec git lfs pre-push "$@"\n'


class Failed(Exception):
    """A command that had to work did not."""


@dataclass
class Cost:
    """Of one git command: seconds of wall, of the processor for all its processes, of the processor for the agent alone."""

    wall: float
    cpu: float
    agent: float
    agent_peak: int


class Machine:
    """Where everything lies and runs."""

    def __init__(self, root, binary):
        self.root = Path(root)
        self.binary = Path(binary).resolve()
        self.noop = self.binary.parent / "examples" / "noop_agent"
        for name in ("home", "tmp", "usage", "hooks", "bin", "attic"):
            (self.root / name).mkdir()
        (self.root / "bin" / "git-datamon").symlink_to(self.binary)
        hook = self.root / "hooks" / "pre-push"
        hook.write_text(HOOK)
        hook.chmod(0o755)
        self.count = 0
        self.base = {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "A U Thor",
            "GIT_AUTHOR_EMAIL": "author@example.com",
            "GIT_COMMITTER_NAME": "C O Mitter",
            "GIT_COMMITTER_EMAIL": "committer@example.com",
        }
        self.forget()
        for key, value in {
            "init.defaultBranch": "main",
            "gc.auto": "0",
            "maintenance.auto": "false",
            "protocol.file.allow": "always",
            "advice.detachedHead": "false",
        }.items():
            self.run(["git", "config", "--global", key, value])
        self.run(["git", "datamon", "--quiet", "install"])

    def path(self, name):
        """A path that nothing has used."""
        self.count += 1
        return self.root / f"{name}-{self.count}"

    def forget(self):
        """From here on it is another user's machine: nothing is known of any store."""
        self.base["DATAMON_CACHE_DIR"] = str(self.path("cache"))
        self.base["DATAMON_STATE_DIR"] = str(self.path("state"))

    def set_aside(self, path):
        """Remove at the end: file systems are slow for minutes after a large delete."""
        self.count += 1
        path.rename(self.root / "attic" / f"{path.name}-{self.count}")

    def environment(self, config=None):
        """What commands see; `config` is git configuration that beats every other."""
        env = dict(self.base)
        items = list((config or {}).items())
        env["GIT_CONFIG_COUNT"] = str(len(items))
        for at, (key, value) in enumerate(items):
            env[f"GIT_CONFIG_KEY_{at}"], env[f"GIT_CONFIG_VALUE_{at}"] = key, str(value)
        return env

    def run(self, command, cwd=None, config=None):
        """The output of a command that must work."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd or self.root,
            env=self.environment(config),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Failed(f"{command} in {cwd} exits with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def measure(self, command, cwd=None, agent=None, url=None, cgroup=None, hooks=True):
        """What a git command costs with `agent` (noop: an LFS directory; datamon: None; no agent: False) for `url`."""
        usage = self.path("usage/run")
        usage.mkdir(parents=True)
        wrapper = HERE / "measured_agent.py"
        config = {} if hooks else {"core.hooksPath": self.root / "hooks"}
        if agent is None:
            config["lfs.customtransfer.datamon.path"] = wrapper
            config["lfs.customtransfer.datamon.args"] = f"{usage} {cgroup or '-'} {self.binary} lfs-agent"
        elif agent is not False:
            config["lfs.customtransfer.noop.path"] = wrapper
            config["lfs.customtransfer.noop.args"] = f"{usage} - {self.noop} {agent}"
            config["lfs.customtransfer.noop.concurrent"] = "false"
            config["lfs.noop::.standalonetransferagent"] = "noop"
        if url:
            config["lfs.url"] = url
        log = self.path("log")
        with open(log, "w+b") as output:
            begin = time.monotonic()
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=cwd or self.root,
                env=self.environment(config),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _, status, used = os.wait4(process.pid, 0)
            wall = time.monotonic() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                output.seek(0)
                text = output.read().decode(errors="replace")[-4000:]
                raise Failed(f"{command} exits with {process.returncode}:\n{text}")
        agents = collect(usage)
        return Cost(
            wall,
            used.ru_utime + used.ru_stime,
            sum(one["cpu"] for one in agents),
            max((one["peak"] for one in agents), default=0),
        )

    def stats(self, cwd):
        """`git datamon stats`, of the store of a repository."""
        return json.loads(self.run(["git", "datamon", "stats", "--json"], cwd))


def collect(usage):
    """What the agents of one command wrote down; they end a moment after it."""
    deadline = time.monotonic() + 60
    while list(usage.glob("*.running")):
        if time.monotonic() > deadline:
            raise Failed(f"an agent of {usage} still runs a minute after its git command")
        time.sleep(0.01)
    return [json.loads(file.read_text()) for file in usage.glob("*.json")]


class Dataset:
    """A repository with incompressible files, its store, and remotes to push to."""

    def __init__(self, machine, name, files, size):
        self.machine, self.name, self.files, self.size = machine, name, files, size
        self.work = machine.root / name
        self.store = machine.root / f"{name}-store"
        machine.run(["git", "init", "-q", self.work])
        write_files(self.work / "data", files, size)
        machine.run(["git", "datamon", "--quiet", "init", "--store", self.store, "--track", "data/**"], self.work)
        self.empty = machine.root / f"{name}-store-empty"
        shutil.copytree(self.store, self.empty)
        machine.run(["git", "add", "-A"], self.work)
        machine.run(["git", "commit", "-qm", "data"], self.work)

    @property
    def bytes(self):
        """Of all files."""
        return self.files * self.size

    def new_store(self):
        """An empty store in the place of the one that is there, known to nobody."""
        self.machine.set_aside(self.store)
        shutil.copytree(self.empty, self.store)
        self.machine.forget()

    def new_remote(self):
        """An empty bare repository as origin; git and git-lfs know nothing of what it has."""
        remote = self.machine.path(f"{self.name}-remote")
        self.machine.run(["git", "init", "-q", "--bare", remote])
        if "origin" in self.machine.run(["git", "remote"], self.work).split():
            self.machine.run(["git", "remote", "remove", "origin"], self.work)
        self.machine.run(["git", "remote", "add", "origin", f"file://{remote}"], self.work)
        return remote

    def same_files(self, other):
        """Whether a clone has the same bytes."""
        done = subprocess.run(["diff", "-rq", self.work / "data", other / "data"], capture_output=True, check=False)
        return done.returncode == 0


def write_files(folder, files, size):
    """Seeded incompressible files, a hundred a folder."""
    block = 1 << 24
    for at in range(files):
        source = random.Random(f"{size}-{at}")
        path = folder / f"{at // 100:03}" / f"{at:05}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            for start in range(0, size, block):
                file.write(source.randbytes(min(block, size - start)))


def objects_in(store):
    """Names and sizes of the objects of a directory store."""
    found = {}
    for path in store.rglob("*"):
        if path.is_file():
            found[str(path.relative_to(store))] = path.stat().st_size
    return found


def bytes_in(folder):
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def temporary_directory(parent):
    """A directory that goes when the bench ends."""
    return tempfile.TemporaryDirectory(prefix="datamon-bench-", dir=parent, ignore_cleanup_errors=True)
