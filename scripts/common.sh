# Sourced by the scripts beside it, which run under `set -euo pipefail`. Leaves the shell in the repository's root.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() {
  printf '%s\n' "$*" >&2
}

fail() {
  say "error: $*"
  exit 1
}

# A Python that is new enough: $PYTHON if it is set, else the first of the usual names that works.
find_python() {
  local name
  for name in ${PYTHON:+"$PYTHON"} python3.12 python3.11 python3.13 python3 python; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
    [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is not a Python 3.11 or newer"
  done
  fail "Python 3.11 or newer was not found; install it, or name it: PYTHON=/path/to/python3.11 $0"
}

# make_venv FOLDER: an empty environment with a pip that knows dependency groups. One that works is kept.
make_venv() {
  local folder=$1 python
  "$folder/bin/python" -c 'import pip' 2>/dev/null && return
  python=$(find_python)
  say "making $folder with $("$python" --version)"
  "$python" -m venv --clear "$folder" || fail "$python cannot make environments; on Debian and Ubuntu: apt install python3-venv"
  "$folder/bin/python" -m pip install -qq --upgrade 'pip>=25.1'
}

# install_once FOLDER STAMP ARGUMENT...: pip install, unless the same was installed before under the same stamp.
install_once() {
  local folder=$1 stamp=$2
  shift 2
  [ "$(cat "$folder/installed" 2>/dev/null)" = "$stamp" ] && return
  say "installing into $folder; the first time takes a while"
  rm -f "$folder/installed"
  "$folder/bin/python" -m pip install -qq --no-warn-script-location "$@"
  echo "$stamp" >"$folder/installed"
}

# A number that changes with any file that the package is built from.
source_stamp() {
  find pyproject.toml README.md src engines runtime training export -type f \
    -not -path '*/__pycache__/*' -not -path '*.egg-info/*' -print0 | LC_ALL=C sort -z | xargs -0 cat | cksum
}
