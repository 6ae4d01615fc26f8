#!/bin/sh
# Makes .venv with what the gateway needs: ./setup.sh [extra]   (extra: "test" adds the test tools)
# Only missing pieces are installed, so a second call takes a second. Debian 12's python3 has no venv module: that is
# installed too, when this runs as root (or can become root by sudo).
set -eu
cd "$(dirname "$0")"
extra="${1:-}"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else echo "setup: needs root to run: $*" >&2; exit 1
    fi
}

apt_install() {
    echo "setup: installing Debian packages: $*" >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

python="${PYTHON:-}"
if [ -z "$python" ]; then
    for candidate in python3.11 python3 python3.12 python3.13; do
        if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            python="$candidate"
            break
        fi
    done
fi
if [ -z "$python" ]; then
    apt_install python3 python3-venv
    python=python3
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv

if [ "$extra" = test ]; then
    missing=""
    command -v chromium >/dev/null || missing="$missing chromium"
    command -v ffmpeg >/dev/null || missing="$missing ffmpeg"
    command -v rtmpdump >/dev/null || missing="$missing rtmpdump"
    command -v ip >/dev/null || missing="$missing iproute2"
    [ -e /usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf ] || missing="$missing fonts-dejavu-core"
    # shellcheck disable=SC2086
    [ -z "$missing" ] || apt_install $missing
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv
stamp=".venv/installed-${extra:-main}"
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    echo "setup: installing Python packages into .venv (about half a minute the first time)" >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${extra:+[$extra]}"
    touch "$stamp"
fi
