"""Tools that work in a git repository: its root is the directory above the tree. What git itself moves goes to a bare repository
in a directory of the machine, wherever the data goes."""

import os

from .tool import COPIES, VERB, Tool

BARE = "git init -q --bare -b main {home}/remote.git && git remote add origin file://{home}/remote.git"
PUSH = "git push -q origin main"
CLONE = "rmdir {out} && git clone -q file://{home}/remote.git {out}"
PERSON = {f"GIT_{who}_{what}": "bench@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
OURS = {
    "PATH": f"{{ours}}/..:{os.environ['PATH']}",
    "DATAMON_CACHE_DIR": "{home}/cache",
    "DATAMON_STATE_DIR": "{home}/state",
    **PERSON,
}
ANNEX = {"PATH": f"{{bin}}:{os.environ['PATH']}", **PERSON}
# It talks to no address of this machine unless it is told to.
REACH = "git config annex.security.allowed-ip-addresses all"
# Nothing in the system's directories, where one round would leave things for the next.
DVC = {
    "PATH": f"{{bin}}:{os.environ['PATH']}",
    "DVC_NO_ANALYTICS": "1",
    "DVC_SITE_CACHE_DIR": "{home}/cache/site",
    "DVC_GLOBAL_CONFIG_DIR": "{home}/dvc",
    **PERSON,
}
INIT = (
    "cd {dir}/.. && git init -q -b main && git lfs install >/dev/null && git datamon -q install"
    " && git datamon -q init --store {store} --track 'data/**' && git commit -qm 'set up'"
)


def commit():
    """Our verb that takes files in, alone."""
    return Tool(
        "git datamon commit",
        VERB,
        "cd {dir}/.. && git datamon -q commit -m {version} data",
        "git -C {dir}/.. datamon -q download {id} --dest {out}",
        start=INIT,
        find="git -C {dir}/.. rev-parse HEAD",
        env=OURS,
        remark="the verb, with all that git and its hooks do for a commit, the version of the dataset and its note",
    )


def verbs():
    """What users of ours do from end to end."""
    return Tool(
        "commit + push",
        VERB,
        "cd {dir}/.. && git datamon -q commit -m {version} data && git datamon -q push origin main",
        "rmdir {out} && git datamon -q clone file://{home}/remote.git {out}",
        start=f"{INIT} && {BARE} && {PUSH}",
        env=OURS,
        remark="our verbs, with git's own commit, push and clone, hooks, the version of the dataset and its note",
    )


def plain():
    """What git and git-lfs do by themselves, with our agent."""
    return Tool(
        "git push",
        VERB,
        f"cd {{dir}}/.. && git add -A data && git commit -qm {{version}} && {PUSH}",
        CLONE,
        start=f"{INIT} && {BARE} && {PUSH}",
        version="git lfs version",
        env=OURS,
        remark="plain git and git-lfs with our agent and hook: git-lfs's filter at `git add` and at checkout is in it",
    )


def file_agent():
    """git-lfs as it comes, to a directory."""
    return Tool(
        "git-lfs",
        COPIES,
        f"cd {{dir}}/.. && git add -A data && git commit -qm {{version}} && {PUSH}",
        "rmdir {out} && git clone -q file://{store} {out}",
        start="cd {dir}/.. && git init -q -b main && git lfs install >/dev/null && git lfs track 'data/**' >/dev/null"
        " && git add .gitattributes && git commit -qm 'set up' && git init -q --bare -b main {store}"
        f" && git remote add origin file://{{store}} && {PUSH}",
        version="git lfs version",
        env=PERSON,
        remark="the agent for `file://` that git-lfs has built in: hard links, neither chunks nor compression; none for a bucket",
    )


def annex(remote, again, before=""):
    """git-annex with a special remote: how it is made, what a clone has to be told, and what has to be there before."""
    return Tool(
        "git-annex",
        COPIES,
        "cd {dir}/.. && git annex add -q data && git commit -qam {version} && git annex copy -q --fast --to store data",
        f"rmdir {{out}} && git clone -q {{dir}}/.. {{out}} && cd {{out}} && git annex init -q there && {REACH}"
        f" && git annex enableremote -q store {again} && git annex get -q --from store data",
        start=f"{before}cd {{dir}}/.. && git init -q -b main && git annex init -q here && {REACH}"
        f" && git annex initremote -q store {remote}",
        version="{bin}/git-annex version",
        env=ANNEX,
        remark="whole files, one after the other (`annex.jobs` is 1 unless set); `--fast`: its location log knows what is there",
    )


def dvc(more=""):
    """DVC with a default remote, and what else that has to be told."""
    return Tool(
        "DVC",
        COPIES,
        "cd {dir}/.. && dvc add -q data && dvc push -q && git add data.dvc .gitignore && git commit -qm {version}",
        "rmdir {out} && git clone -q {dir}/.. {out} && cd {out} && dvc pull -q",
        start="cd {dir}/.. && git init -q -b main && dvc init -q && dvc remote add -q -d store {store}"
        f"{more} && git add .dvc .dvcignore && git commit -qm 'set up'",
        version="{bin}/dvc --version",
        env=DVC,
        remark="whole files, and a second copy of each in its cache",
    )
