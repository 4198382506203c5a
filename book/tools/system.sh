#!/bin/sh
# Make sure that what pip cannot install is there: system.sh venv|chromium ...
# Installs Debian packages when run as root, otherwise says which ones to install.
set -eu
PYTHON=${PYTHON:-python3}

present() {
    case $1 in
        venv) "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ;;
        chromium) command -v chromium >/dev/null ;;
        *) echo "system.sh knows venv and chromium, not $1" >&2; exit 2 ;;
    esac
}

packages() {
    case $1 in
        venv) echo python3-venv ;;
        chromium) echo chromium fonts-dejavu-core ;; # a page without a font shows no letters
    esac
}

missing=
for need in "$@"; do
    present "$need" || missing="$missing $(packages "$need")"
done
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    # shellcheck disable=SC2086 # several packages are several words
    apt-get update -qq && $install
else
    echo "Missing:$missing. On Debian or Ubuntu install with" >&2
    echo "    sudo apt-get update && sudo $install" >&2
    exit 1
fi
