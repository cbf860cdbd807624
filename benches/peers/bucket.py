"""The tools that have a client for S3. Each is set up as its documentation says; how much each does at once is its own default.

borg writes to directories and to its own server, casync only reads over HTTP, git-lfs's own agent for S3 does not exist, and xet
needs its own service: these four are in the comparison on a directory only.
"""

from . import directory, repositories
from .tool import COPIES, Tool

RUSTIC = {
    "OPENDAL_BUCKET": "{bucket}",
    "OPENDAL_ROOT": "/store",
    "OPENDAL_ENDPOINT": "{endpoint}",
    "OPENDAL_REGION": "us-east-1",
}
RCLONE = {
    "RCLONE_CONFIG": "{home}/rclone.conf",
    "RCLONE_CONFIG_STORE_TYPE": "s3",
    "RCLONE_CONFIG_STORE_PROVIDER": "Other",
    "RCLONE_CONFIG_STORE_ENV_AUTH": "true",
    "RCLONE_CONFIG_STORE_ENDPOINT": "{endpoint}",
}
ANNEX = (
    "type=S3 encryption=none autoenable=false bucket={bucket} host=127.0.0.1 port={port} protocol=http requeststyle=path"
    " signature=v2"
)


def rclone():
    """Mirrors a directory: what is in the bucket is the newest version and no other."""
    return Tool(
        "rclone sync",
        COPIES,
        "{bin}/rclone sync --checksum {dir} store:{bucket}",
        "{bin}/rclone sync --checksum store:{bucket} {out}/data",
        version="{bin}/rclone version",
        env=RCLONE,
        remark="`--checksum`, which its documentation asks for where times cost a request an object; keeps the newest version only",
    )


def tools():
    """All of them."""
    return [
        directory.ours(),
        repositories.verbs(),
        repositories.plain(),
        directory.restic("s3:{endpoint}/{bucket}/store"),
        directory.rustic("opendal:s3", RUSTIC),
        rclone(),
        # It makes its bucket itself, and by version 4 it would leave the port out of what it signs.
        repositories.annex(ANNEX, "", "rmdir {folder} && "),
        repositories.dvc(" && dvc remote modify -q store endpointurl {endpoint}"),
    ]
