#!/bin/sh
# Make sure that what pip cannot install is there: system.sh venv|chromium|compiler|slurm ...
# Installs Debian packages when run as root, otherwise says which ones to install.
set -eu
PYTHON=${PYTHON:-python3}

present() {
    case $1 in
        venv) "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ;;
        chromium) command -v chromium >/dev/null || command -v google-chrome >/dev/null ;;
        compiler) compiles ;;
        slurm) command -v slurmctld >/dev/null && command -v munged >/dev/null ;;
        *) echo "system.sh knows venv, chromium, compiler and slurm, not $1" >&2; exit 2 ;;
    esac
}

# A Python that is not Debian's brings its headers along, so that only trying tells.
compiles() {
    include=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_paths()["include"])') || return 1
    echo '#include <Python.h>' | ${CXX:-g++} -x c++ -fsyntax-only -I"$include" - 2>/dev/null
}

packages() {
    case $1 in
        venv) echo python3-venv ;;
        compiler) echo g++ python3-dev ;;
        slurm) echo slurm-wlm munge ;;
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
