#!/bin/bash
# Becomes $PROGRAM under this file's own name, in the condition that $CONDITION names.
case $CONDITION in
    closed-stdin) exec -a "$0" "$PROGRAM" <&- ;;
    closed-stdout) exec -a "$0" "$PROGRAM" >&- ;;
    full-stdout) exec -a "$0" "$PROGRAM" >/dev/full ;;
    # So many descriptors, the standard streams among them.
    descriptors=*) ulimit -n "${CONDITION#*=}" && exec -a "$0" "$PROGRAM" ;;
    # A user of its own, because root's threads are not counted; one that may read whatever root may.
    no-threads)
        ulimit -u 1
        if [ "$EUID" != 0 ]; then exec -a "$0" "$PROGRAM"; fi
        user=$((100000 + RANDOM))
        exec setpriv --reuid=$user --clear-groups --inh-caps=+dac_read_search --ambient-caps=+dac_read_search \
            bash -c 'exec -a "$0" "$PROGRAM"' "$0"
        ;;
esac
echo "the condition $CONDITION cannot be set up"
exit 1
