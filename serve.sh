#!/bin/sh
# Sets up on the first run, then starts the gateway: ./serve.sh [arguments of "gateway serve"]
# Without arguments it is the development server (--dev): loopback only, guests let in, URLs printed ready to paste.
set -eu
cd "$(dirname "$0")"
./setup.sh
if [ $# -eq 0 ]; then set -- --dev; fi
exec .venv/bin/python -m gateway serve "$@"
