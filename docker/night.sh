#!/bin/sh
# One worker of a night: takes the productions that no other worker has, one after the other. A production is a folder
# of $FOOTAGE with its videos; its answer goes to the folder of the same name here. The options are those of `vcn run`.
#
# A lock falls with the process that holds it, so a worker that died and is started again goes on where it stood, and what
# is done already takes seconds. Exit status: 0 all is done, 1 a production failed, 143 told to stop.
set -u
BUSY=75
failed=0
vcn=

# shellcheck disable=SC2317 # the trap calls it
stop() {
    [ -n "$vcn" ] && kill -TERM "$vcn" && wait "$vcn"
    exit 143
}
trap stop TERM INT

for production in "${FOOTAGE:-/footage}"/*/; do
    [ -d "$production" ] || continue
    name=$(basename "$production")
    flock --no-fork --nonblock --conflict-exit-code "$BUSY" ".$name.lock" \
        vcn run "$production" --out "$name" "$@" &
    vcn=$!
    wait "$vcn"
    case $? in
        0) echo "$name: done" ;;
        3) echo "$name: done, but for videos that could not be read" ;;
        "$BUSY") echo "$name: another worker has it" ;;
        *) echo "$name: failed" && failed=1 ;;
    esac
    vcn=
done
exit "$failed"
