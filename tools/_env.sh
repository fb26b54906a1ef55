# Sourced by the tools: virtual environments from the pinned, hashed tools/requirements/*.txt.
#
#   python=$(ensure_env NAME)   makes ENV_ROOT/NAME if need be and prints its Python
#
# An environment is made once and used again while its requirement file and its Python stay the
# same; one that was interrupted is made anew. The checkout is importable in it and bin/edgecnn
# runs it. What goes wrong is one line on stderr and status 2.

REPO=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
if [ -w "$REPO" ]; then
  ENV_ROOT=$REPO/.venv
else
  ENV_ROOT=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/edgecnn
fi
# Other programs' settings must not reach into the environments.
unset PYTHONHOME PYTHONPATH
export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1

_fail() {
  echo "$(basename -- "$0"): $*" >&2
  exit 2
}

# A Python that the requirement files serve, for environment $1.
_find_python() {
  local newest=13 found='' candidate version
  [ "$1" = device-tflite-runtime ] && newest=11
  for candidate in python3 python3.11 python3.12 python3.13 python3.10; do
    version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
      continue
    found="$found $version"
    case $version in 3.1[0-9]) [ "${version#3.}" -le $newest ] || continue ;; *) continue ;; esac
    command -v "$candidate"
    return
  done
  [ -n "$found" ] || _fail "python3 is missing; sudo apt install python3 python3-venv"
  _fail "found Python$found, expected 3.10 to 3.$newest; sudo apt install python3.11 python3.11-venv"
}

_check_python() {
  local version
  version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  "$1" -c 'import ensurepip, venv' 2>/dev/null ||
    _fail "python$version can't make environments; sudo apt install python$version-venv"
  if [ "$2" = lab ] && ! "$1" -c 'import sys; sys.exit(sys.maxsize < 2**32)'; then
    _fail "TensorFlow needs a 64-bit system and this Python is 32-bit; install a 64-bit image"
  fi
}

# Whether environment folder $1 is whole and made for stamp $2 (which is written last).
_is_whole() {
  [ "$(cat "$1/stamp" 2>/dev/null)" = "$2" ] && "$1/bin/python" -c 'import pip' 2>/dev/null
}

# Why pip ended, from its log.
_reason() {
  if grep -q -i 'no space left' "$1"; then
    echo "the disk is full (the lab needs about 3 GB); free some space"
  elif grep -q -i -E 'from versions: none|NewConnectionError|NameResolution|ConnectTimeout|timed out|ProxyError' "$1"; then
    echo "the package index can't be reached; check the network"
  else
    grep -i -m 1 '^ *error' "$1" || tail -n 1 "$1"
  fi
}

_make_env() {
  local name=$1 folder=$2 python=$3 log=$2/pip.log site
  echo "$(basename -- "$0"): making $folder (once; the downloads take minutes)" >&2
  rm -rf "$folder"
  "$python" -m venv "$folder" >/dev/null || _fail "$python -m venv $folder failed"
  "$folder/bin/python" -m pip install --require-hashes --no-compile \
    -r "$REPO/tools/requirements/$name.txt" >"$log" 2>&1 ||
    _fail "can't install tools/requirements/$name.txt: $(_reason "$log") (all of it: $log)"
  site=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  printf '%s\n' "$REPO" >"$site/edgecnn.pth"
  printf '#!/bin/sh\nexec "$(dirname -- "$0")/python" -I -m edgecnn "$@"\n' >"$folder/bin/edgecnn"
  chmod +x "$folder/bin/edgecnn"
  "$folder/bin/python" -I -c 'import edgecnn, cv2' 2>"$log" ||
    _fail "$folder doesn't work: $(tail -n 1 "$log") (a libGL is missing? sudo apt install libgl1)"
}

ensure_env() {
  local name=$1 folder=$ENV_ROOT/$1 python stamp
  python=$(_find_python "$name") || exit
  _check_python "$python" "$name"
  stamp=$("$python" -c 'import hashlib, sys
data = open(sys.argv[1], "rb").read()
print(hashlib.sha256(data).hexdigest(), *sys.version_info[:2], sys.argv[2])' \
    "$REPO/tools/requirements/$name.txt" "$REPO") || exit
  mkdir -p "$ENV_ROOT" 2>/dev/null || _fail "can't write $ENV_ROOT; set XDG_CACHE_HOME"
  # Two tools started together must not make the same environment twice.
  if ! _is_whole "$folder" "$stamp"; then
    (
      if command -v flock >/dev/null; then flock 9; fi
      _is_whole "$folder" "$stamp" || {
        _make_env "$name" "$folder" "$python"
        printf '%s\n' "$stamp" >"$folder/stamp"
      }
    ) 9>"$ENV_ROOT/.$name.lock" || exit
  fi
  printf '%s\n' "$folder/bin/python"
}
