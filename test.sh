#!/bin/sh
# Sets up (Chromium and ffmpeg too) and runs every check: format, lint, types, tests. Extra arguments go to pytest.
set -eu
cd "$(dirname "$0")"
./setup.sh test
.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
.venv/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
# Without the right to real-time scheduling, which Chromium takes as root, and SVT-AV1 for its whole process: one thread
# that spins with it starves a machine of two cores, and every test on it.
if [ "$(id -u)" = 0 ]; then set -- setpriv --bounding-set=-sys_nice --inh-caps=-sys_nice .venv/bin/python -m pytest "$@"
else set -- .venv/bin/python -m pytest "$@"
fi
# Two at a time: unit tests beside the end-to-end ones (tests/e2e/conftest.py says which stay among themselves).
exec "$@" -n 2 --dist loadgroup
