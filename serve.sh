#!/bin/sh
# Sets up on the first run, then starts the gateway: ./serve.sh [arguments of "gateway serve"]
# Without arguments it is the development server (--dev): loopback only, guests let in, URLs printed ready to paste,
# and with a demo peer in its room (--demo), so that the first page shows somebody.
set -eu
cd "$(dirname "$0")"
./setup.sh
if [ $# -eq 0 ]; then set -- --dev --demo; fi
exec .venv/bin/python -m gateway serve "$@"
