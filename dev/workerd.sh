#!/bin/sh
# Starts the runtime so that it cannot outlive the process that asked for it: killed without a
# chance to clean up, that process would leave it holding the ports and the state.
# MINIFLARE_WORKERD_PATH points here; PORTCULLIS_WORKERD is the real binary.
#
# Each object that is awake holds three files open, and one that is asked nothing sleeps after ten seconds. At its limit the
# runtime stops, so it gets as many as there may be: what root may set, else what everybody may.
ulimit -n 1048576 2>/dev/null || ulimit -S -n "$(ulimit -H -n)" 2>/dev/null || true
if command -v setpriv >/dev/null 2>&1 && setpriv --pdeathsig KILL true 2>/dev/null; then
  exec setpriv --pdeathsig KILL "$PORTCULLIS_WORKERD" "$@"
fi
# No setpriv (macOS): look once a second. `exec` keeps the process id, so $$ becomes the runtime's.
parent=$PPID
( while kill -0 "$parent" && kill -0 $$; do sleep 1; done; kill -KILL $$ ) </dev/null >/dev/null 2>&1 3>&- &
exec "$PORTCULLIS_WORKERD" "$@"
