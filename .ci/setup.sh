#!/bin/sh
# Makes .venv with the project and everything that its development needs. Called by `make setup`.
#
# uv is used where it is installed. Otherwise any Python from 3.11 on, with its own venv and pip; Debian splits those
# off into python3-venv, so that is installed when it is missing and we may, and named when we may not.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "setup: $*" >&2
    exit 1
}

find_python() {
    for name in python3.11 python3.12 python3.13 python3.14 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

has_ensurepip() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

install_venv_package() {
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        fail "this Python has neither venv nor pip; install them, on Debian and Ubuntu with: apt-get install python$version-venv"
    fi
    echo "setup: installing python$version-venv, which this Python lacks"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "python$version-venv" >/dev/null
}

make_environment() {
    python=$(find_python) || fail "no Python from 3.11 on is on the PATH"
    if has_ensurepip "$python"; then
        "$python" -m venv --clear .venv
    elif "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --clear --without-pip .venv
        "$python" -m pip --python .venv/bin/python install --quiet pip
    else
        install_venv_package "$python"
        "$python" -m venv --clear .venv
    fi
}

if command -v uv >/dev/null 2>&1; then
    [ -x .venv/bin/python ] || uv venv --quiet --seed --python '>=3.11' .venv
    uv pip install --quiet --compile-bytecode --python .venv/bin/python --editable . --group dev
else
    .venv/bin/python -m pip --version >/dev/null 2>&1 || make_environment
    # Dependency groups are read by pip from 25.1 on.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
fi

# Compiling 350 modules again costs each command a third of a second where the environment forbids to keep the result.
.venv/bin/python -m compileall -q nlctl server/nlserver
