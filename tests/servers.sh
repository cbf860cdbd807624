#!/bin/sh
# Object stores for the tests, on this machine only: `servers.sh start` installs what is missing below target/servers, starts the
# servers and prints the variables that the tests read, `servers.sh stop` ends them.
#
#   eval "$(./tests/servers.sh start)"
#
# moto (pip) is S3, once as it comes, once with users, rights and signatures, and once with TLS; Azurite (npm) is Azure Blob Storage. Google's
# protocol is spoken by no server that can be had; the tests have a double of their own for it.
set -eu
cd "$(dirname -- "$0")/.."
here=target/servers
moto=5.2.1
azurite=3.37.0

fail() { echo "servers.sh: $*" >&2; exit 1; }

install() {
    if [ ! -x "$here/moto/bin/moto_server" ]; then
        echo "installing moto $moto" >&2
        python3 -m venv "$here/moto" >&2 || fail "no venv: apt-get install python3-venv"
        "$here/moto/bin/pip" install -q --disable-pip-version-check "moto[server,s3,iam]==$moto" >&2 ||
            fail "pip could not install moto"
    fi
    if [ ! -x "$here/azurite/node_modules/.bin/azurite-blob" ]; then
        echo "installing azurite $azurite" >&2
        command -v npm >/dev/null || fail "there is no npm: apt-get install npm"
        npm install --silent --no-audit --no-fund --prefix "$here/azurite" "azurite@$azurite" >&2 ||
            fail "npm could not install azurite"
    fi
}

stop() {
    for pid in "$here"/*.pid; do
        [ -f "$pid" ] || continue
        kill "$(cat "$pid")" 2>/dev/null || true
        rm -f "$pid"
    done
}

launch() { # a name, then the program: in the background, its words in a file
    name=$1
    shift
    "$@" >"$here/$name.log" 2>&1 &
    echo $! >"$here/$name.pid"
}

certify() { # an authority that nobody knows, and what it says of this machine
    key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    # shellcheck disable=SC2086 # words, on purpose
    openssl req -x509 $key -days 30 -subj /CN=tests -keyout "$here/ca.key" -out "$here/ca.pem" 2>/dev/null
    # shellcheck disable=SC2086
    openssl req $key -subj /CN=localhost -keyout "$here/tls.key" -out "$here/tls.csr" 2>/dev/null
    printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >"$here/tls.ext"
    openssl x509 -req -in "$here/tls.csr" -CA "$here/ca.pem" -CAkey "$here/ca.key" -CAcreateserial -days 30 \
        -extfile "$here/tls.ext" -out "$here/tls.pem" 2>/dev/null
}

start() {
    mkdir -p "$here"
    install
    stop
    ports=$(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
print(*(it.getsockname()[1] for it in sockets))')
    # shellcheck disable=SC2086 # four words
    set -- $ports
    launch s3 "$here/moto/bin/python" tests/servers.py s3 "$1"
    launch guarded "$here/moto/bin/python" tests/servers.py s3 "$2"
    certify || fail "openssl made no certificates"
    launch tls "$here/moto/bin/python" tests/servers.py s3 "$4" -s -c "$here/tls.pem" -k "$here/tls.key"
    launch azure "$here/azurite/node_modules/.bin/azurite-blob" --inMemoryPersistence --blobPort "$3" \
        --skipApiVersionCheck --disableTelemetry --silent
    "$here/moto/bin/python" tests/servers.py prepare "$1" "$2" "$3" "$4" "$PWD/$here/ca.pem" || fail "no server came up: see $here/*.log"
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    *) fail "start or stop?" ;;
esac
