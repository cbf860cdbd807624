#!/usr/bin/env python3
"""Runs a git-lfs agent and writes down what it cost: measured_agent.py USAGE_DIR CGROUP|- PROGRAM [ARG...]

git-lfs starts this in the agent's place. The agent inherits the pipes, so nothing stands between it and git-lfs; only its own
processor time and memory are written (those of its children too, not of this script), one file a process in USAGE_DIR.
With CGROUP, the directory of a control group, the agent is moved into it before it begins.
"""

import json
import os
import sys
import time


def main():
    usage_dir, cgroup, *command = sys.argv[1:]
    running = os.path.join(usage_dir, f"{os.getpid()}.running")
    with open(running, "w", encoding="utf-8"):
        pass
    begin = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            if cgroup != "-":
                with open(os.path.join(cgroup, "cgroup.procs"), "w", encoding="utf-8") as procs:
                    procs.write(str(os.getpid()))
            os.execv(command[0], command)
        finally:
            os._exit(127)
    # git-lfs waits for the end of the pipes, not of this process: keep none of them open.
    for stream in (0, 1):
        os.close(stream)
    _, status, usage = os.wait4(pid, 0)
    cost = {
        "status": status,
        "wall": time.monotonic() - begin,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
    }
    with open(running, "w", encoding="utf-8") as file:
        json.dump(cost, file)
    os.rename(running, running.removesuffix("running") + "json")
    sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)


if __name__ == "__main__":
    main()
