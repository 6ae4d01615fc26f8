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
    # Real peers and a network to put them in. By command (or command:package), so that a build of one's own counts…
    PATH="$PATH:/usr/sbin:/sbin"
    missing=""
    for tool in chromium firefox-esr ffmpeg rtmpdump obs:obs-studio Xvfb:xvfb gst-launch-1.0:gstreamer1.0-tools \
        ip:iproute2 nft:nftables conntrack zbarimg:zbar-tools curl; do
        command -v "${tool%%:*}" >/dev/null || missing="$missing ${tool##*:}"
    done
    # … and what has no command, by package.
    if command -v dpkg-query >/dev/null; then
        for package in fonts-dejavu-core fonts-wqy-microhei libgl1-mesa-dri gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
            gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav gstreamer1.0-nice gstreamer1.0-x \
            python3-gi gir1.2-gst-plugins-bad-1.0 libatomic1; do
            [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
        done
    fi
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

if [ "$extra" = test ]; then
    modules=tests/node/node_modules
    if [ ! -e "$modules/.installed" ] || [ tests/node/package.json -nt "$modules/.installed" ]; then
        echo "setup: installing Node packages into tests/node (about half a minute the first time)" >&2
        PATH="$PWD/.venv/bin:$PATH" npm --prefix tests/node ci --silent --no-audit --no-fund --ignore-scripts >&2
        touch "$modules/.installed"
    fi
fi
