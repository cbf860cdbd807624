#!/bin/sh
# Installs what benches/compare.py needs below PREFIX, without root and without touching the system: peers.sh PREFIX
#
#   PREFIX/bin       restic, borg, casync, git-annex, rclone (from the distribution, with the libraries that are missing here),
#                    rustic, xet-tree, dvc, and s3s-fs, the S3 server they all talk to
#   PREFIX/venv      Python with what benches/datasets.py needs
#   PREFIX/versions  what was installed, a line each
#
# What is there already stays: run it again after a failure. The three builds with cargo take some 15 minutes on two cores.
set -eu
RUSTIC=0.11.4
DVC=3.67.1
S3S=0.14.1

[ $# -eq 1 ] || { echo "usage: $0 PREFIX" >&2; exit 2; }
here=$(cd "$(dirname -- "$0")" && pwd)
mkdir -p "$1/bin" "$1/deb" "$1/root"
prefix=$(cd "$1" && pwd)
step() { printf '\n== %s\n' "$*"; }

# What `apt-get install` would add to this machine, unpacked instead of installed.
distribution() {
    step "restic, borg, casync, git-annex, rclone of the distribution"
    [ -n "$(apt-cache policy casync | grep 'Candidate: [0-9]')" ] || apt-get update
    wanted=$(apt-get -s --no-install-recommends --reinstall install restic borgbackup casync git-annex rclone |
        awk '/^Inst/ { print $2 }')
    # shellcheck disable=SC2086 # a word a package
    (cd "$prefix/deb" && apt-get -q download $wanted)
    for package in "$prefix"/deb/*.deb; do dpkg -x "$package" "$prefix/root"; done
    libraries=$(find "$prefix/root" -name '*.so.*' ! -path '*/python3/*' -exec dirname {} + | sort -u | paste -sd: -)
    for name in restic borg casync git-annex rclone; do
        program="$prefix/root/usr/bin/$name"
        [ "$name" != borg ] || program="/usr/bin/python3 $program"
        cat >"$prefix/bin/$name" <<END
#!/bin/sh
export LD_LIBRARY_PATH='$libraries' PYTHONPATH='$prefix/root/usr/lib/python3/dist-packages'
exec $program "\$@"
END
        chmod +x "$prefix/bin/$name"
    done
}

rustic() {
    step "rustic by cargo"
    CARGO_TARGET_DIR="$prefix/build" cargo install -q --locked -j2 --root "$prefix/cargo" rustic-rs --version "$RUSTIC" \
        --no-default-features
    ln -sf ../cargo/bin/rustic "$prefix/bin/rustic"
}

# xet as its client sends to its server, but for one word: chunks go with the table that describes them. Without it, the
# local client decodes all it is given to make that table, as only a server would: some 15 % of the time of an ingest. The
# peer gets the faster form.
xet() {
    step "xet-tree by cargo"
    rm -rf "$prefix/xet"
    cp -r "$here/xet" "$prefix/xet"
    cd "$prefix/xet"
    cargo fetch -q --locked
    manifest=$(cargo metadata --format-version 1 --locked --offline |
        grep -o '"manifest_path":"[^"]*/xet-data-[^"/]*/Cargo.toml"' | cut -d'"' -f4)
    cp -r "$(dirname "$manifest")" xet-data
    sed -i '/SerializedXorbObject::from_xorb(/,/)/s/^\( *\)false,$/\1true,/' xet-data/src/processing/file_upload_session.rs
    if cmp -s "$(dirname "$manifest")/src/processing/file_upload_session.rs" xet-data/src/processing/file_upload_session.rs; then
        echo "peers.sh: the line to change is not in this xet-data: see xet() here" >&2
        exit 1
    fi
    printf '\n[patch.crates-io]\nxet-data = { path = "xet-data" }\n' >>Cargo.toml
    CARGO_TARGET_DIR="$prefix/build" cargo build --release -j2
    cp "$prefix/build/release/xet-tree" "$prefix/bin/"
    cd "$here"
}

# An S3 server that nobody here wrote, with three things changed: of several creates of one name at once one wins, as S3 promises
# (else ours refuses the place), a folder is no object (as in its later versions, which want a newer compiler; DVC and rclone ask), and
# files are read in pieces of 256 KiB, not 4 KiB, each of which is a task of its own.
server() {
    step "s3s-fs by cargo"
    rm -rf "$prefix/s3s" && mkdir "$prefix/s3s"
    (cd "$prefix/s3s" && cargo init -q --name fetched && cargo add -q "s3s-fs@=$S3S" && cargo fetch -q)
    manifest=$(cd "$prefix/s3s" && cargo metadata --format-version 1 --offline |
        grep -o '"manifest_path":"[^"]*/s3s-fs-[^"/]*/Cargo.toml"' | cut -d'"' -f4)
    cp -r "$(dirname "$manifest")" "$prefix/s3s/s3s-fs"
    patch -s -d "$prefix/s3s/s3s-fs" -p1 <"$here/s3s-fs.patch"
    (cd "$prefix/s3s" && CARGO_TARGET_DIR="$prefix/build" cargo install -q --locked -j2 --force --root "$prefix/cargo" \
        --path s3s-fs --features binary)
    ln -sf ../cargo/bin/s3s-fs "$prefix/bin/s3s-fs"
}

dvc() {
    step "DVC by pip"
    python3 -m venv "$prefix/dvc"
    "$prefix/dvc/bin/python" -m pip install -q "dvc[s3]==$DVC"
    ln -sf ../dvc/bin/dvc "$prefix/bin/dvc"
}

python() {
    step "Python for the datasets"
    [ -x "$prefix/venv/bin/python" ] || python3 -m venv "$prefix/venv"
    "$prefix/venv/bin/python" -m pip install -q -r "$here/requirements.txt"
}

python
[ -x "$prefix/bin/rclone" ] || distribution
[ -x "$prefix/bin/dvc" ] || dvc
[ -x "$prefix/bin/s3s-fs" ] || server
[ -x "$prefix/bin/rustic" ] || rustic
[ -x "$prefix/bin/xet-tree" ] || xet

rm -rf "$prefix/build"

step "installed"
{
    "$prefix/bin/restic" version | cut -d' ' -f1,2
    "$prefix/bin/borg" --version
    "$prefix/bin/casync" --version | head -n 1
    "$prefix/bin/git-annex" version | head -n 1
    "$prefix/bin/rclone" version | head -n 1
    "$prefix/bin/rustic" --version
    echo "DVC $("$prefix/bin/dvc" --version)"
    "$prefix/bin/s3s-fs" --version
    sed -n '/^name = "xet-data"/{n;s/version = "\(.*\)"/xet-data \1/p}' "$here/xet/Cargo.lock"
} | tee "$prefix/versions"
