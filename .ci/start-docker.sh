#!/bin/sh
# Makes a Docker Engine answer on this machine, and the images that tests build on, because no registry is within their
# reach: nlctl-base, Debian with Python, by debootstrap, and nlctl-debs, the packages of a compiler. What is there already
# stays for a month; `start-docker.sh stop` ends what this started.
set -eu
cd "$(dirname "$0")/.."
ROOT=${NLCTL_DOCKER_ROOT:-/var/tmp/nlctl-docker} # needs a real filesystem: overlay2 does not stack on itself
PIDS=/run/nlctl-dockerd.pid
LOG=/var/log/nlctl-dockerd.log
BASE=nlctl-base
DEBS=nlctl-debs
MONTH=$(date +%Y-%m)

. .ci/as-root.sh

sdk() {
    .venv/bin/python -c "import docker, sys; engine = docker.from_env(); $1" "$@"
}

answers() {
    sdk 'engine.ping()' 2>/dev/null
}

stop() {
    # It removes the file as it ends.
    [ -f "$PIDS" ] || return 0
    as_root sh -c "kill \$(cat $PIDS)" || return 0
    for _ in $(seq 200); do
        [ -f "$PIDS" ] || return 0
        sleep 0.1
    done
}

install() {
    packages=""
    for pair in dockerd:docker.io docker-compose:docker-compose debootstrap:debootstrap; do
        command -v "${pair%:*}" >/dev/null || [ -x "/usr/sbin/${pair%:*}" ] || packages="$packages ${pair#*:}"
    done
    # shellcheck disable=SC2086
    install_packages $packages
}

start() {
    echo "start-docker: starting dockerd, which logs to $LOG"
    # Nothing of the machine's own network is changed: ports are published by the proxy, and containers that need the
    # world are given the network of the machine.
    as_root sh -c "mkdir -p '$ROOT' && exec setsid dockerd --host unix:///var/run/docker.sock --data-root '$ROOT' \
        --pidfile $PIDS --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
        >$LOG 2>&1 </dev/null &"
    for _ in $(seq 300); do
        ! answers || return 0
        sleep 0.2
    done
    tail -n 20 "$LOG" >&2
    echo "start-docker: dockerd does not answer" >&2
    exit 1
}

make_base() {
    ! exists "$BASE" || return 0
    echo "start-docker: making $BASE:$MONTH"
    scratch=$(mktemp -d)
    trap 'as_root rm -rf "$scratch"' EXIT
    as_root debootstrap --variant=minbase --include=python3,tini,ca-certificates bookworm "$scratch/root" \
        http://deb.debian.org/debian >"$scratch/log" 2>&1 || { tail -n 20 "$scratch/log" >&2; exit 1; }
    as_root tar -C "$scratch/root" --exclude=./dev --exclude=./proc --exclude=./sys --exclude='./var/cache/apt/*' \
        --exclude='./var/lib/apt/lists/*' -cf "$scratch/base.tar" .
    sdk 'engine.api.import_image_from_file(sys.argv[2], repository=sys.argv[3], tag=sys.argv[4])' \
        "$scratch/base.tar" "$BASE" "$MONTH"
    latest "$BASE"
}

make_debs() {
    ! exists "$DEBS" || return 0
    echo "start-docker: making $DEBS:$MONTH"
    sdk 'import io
engine.images.build(fileobj=io.BytesIO(sys.argv[2].encode()), tag=sys.argv[3], network_mode="host", rm=True)' "
FROM $BASE:$MONTH AS fetched
RUN apt-get update -qq \\
 && apt-get install -y -qq --no-install-recommends --download-only gcc g++ \\
 && mkdir /debs && mv /var/cache/apt/archives/*.deb /debs
FROM scratch
COPY --from=fetched /debs /debs
" "$DEBS:$MONTH"
    latest "$DEBS"
}

exists() {
    sdk 'sys.exit(not engine.images.list(sys.argv[2]))' "$1:$MONTH"
}

latest() {
    sdk 'engine.images.get(":".join(sys.argv[2:4])).tag(sys.argv[2], "latest")' "$1" "$MONTH"
}

case ${1:-start} in
stop) stop ;;
start)
    install
    answers || start
    make_base
    make_debs
    # What earlier builds left, once it is too old to be built upon.
    sdk 'engine.images.prune({"dangling": True, "until": "168h"})'
    ;;
esac
