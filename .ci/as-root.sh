# Sourced by scripts of this folder: what only root may do.

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "$0: '$*' needs root; run it and try again" >&2
        exit 1
    fi
}

# Packages of Debian; none where none is named.
install_packages() {
    [ "$#" != 0 ] || return 0
    echo "$0: installing $*"
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -qq
    as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
