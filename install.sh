#!/bin/sh
# Builds git-datamon and installs it. Doing it again upgrades.
#
#   ./install.sh                  into /usr/local as root, else into ~/.local
#   ./install.sh --system         for every user of this machine
#   ./install.sh --prefix DIR     into DIR/bin
#   ./install.sh --demo           and then show the main job on real files (demo/run.sh)
#
# Needs git and cargo. What else is missing (git-lfs, a C compiler) comes from the distribution: apt-get, as root or by sudo.
set -eu

fail() { echo "install.sh: $*" >&2; exit 1; }
say() { echo "install.sh: $*"; }

demo= system= prefix=
while [ $# -gt 0 ]; do
    case $1 in
        --demo) demo=yes ;;
        --system) system=--system ;;
        --prefix)
            [ $# -gt 1 ] || fail "--prefix wants a directory"
            prefix=$2
            shift
            ;;
        --prefix=*) prefix=${1#--prefix=} ;;
        -h | --help)
            sed -n '2,/^set /{s/^# \{0,1\}//;/^set /d;p;}' "$0"
            exit 0
            ;;
        *) fail "$1 is not known: --demo, --system, --prefix DIR" ;;
    esac
    shift
done

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=
if [ "$(id -u)" != 0 ] && [ -n "$system" ]; then
    command -v sudo >/dev/null || fail "--system needs root: run it as root"
    root=sudo
fi
if [ -z "$prefix" ]; then
    if [ "$(id -u)" = 0 ] || [ -n "$system" ]; then
        prefix=/usr/local
    else
        prefix=${HOME:?install.sh: HOME is not set; name a place with --prefix}/.local
    fi
fi
case $prefix in
    /*) ;;
    *) prefix=$PWD/$prefix ;; # git-lfs has to find the program from everywhere
esac
bin=$prefix/bin

"$here/tests/needs.sh" build
say "building (minutes, the first time)"
cd "$here"
cargo build --release --locked --bin git-datamon || fail "the build failed; see cargo's words above"
target=$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
built=$target/release/git-datamon
[ -x "$built" ] || fail "cargo built no $built: unset CARGO_BUILD_TARGET and build.target, and run this again"

$root mkdir -p "$bin" || fail "cannot make $bin: name another place with --prefix"
# Under another name first: the one that is there may be running.
$root cp "$built" "$bin/.git-datamon.new" || fail "cannot write into $bin: name another place with --prefix"
$root chmod 755 "$bin/.git-datamon.new"
$root mv -f "$bin/.git-datamon.new" "$bin/git-datamon"
say "installed $bin/git-datamon ($("$bin/git-datamon" --version))"

# The program is named by the directory just written to, whatever else lies on the way.
# shellcheck disable=SC2086 # empty, or one word
$root env PATH="$bin:$PATH" git-datamon install $system ||
    fail "\`git datamon install\` failed; see its words above, then run this again"

case :$PATH: in
    *:"$bin":*) ;;
    *)
        say "$bin is not on your PATH. Type this, and put it into your ~/.profile:"
        echo "    export PATH=\"$bin:\$PATH\""
        ;;
esac

if [ -n "$demo" ]; then
    exec "$here/demo/run.sh" "$bin/git-datamon"
fi
