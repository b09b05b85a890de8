#!/bin/sh
# The entrypoint of workers for BuildStream: an action's input root is its whole system.
root="$ACTION_DIRECTORY/work"
exec bwrap --bind "$root" / --proc /proc --dev /dev --tmpfs /tmp --unshare-pid --die-with-parent \
    --chdir "${PWD#"$root"}/" -- "$@"
