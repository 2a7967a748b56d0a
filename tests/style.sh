#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a script can check of the house style (CONTRIBUTING.md): budgets, licence lines, include arrows, unsafe calls and flags.
# Run from anywhere; prints each fault as file:line: what, exits 1 if there was one.
set -u
cd "$(dirname "$0")/.."
faults=0
fault() { echo "$1"; faults=$((faults + 1)); }

mapfile -t code < <(git ls-files 2>/dev/null | grep -E '\.(c|h|inc|cl)$')
[ ${#code[@]} -gt 0 ] || mapfile -t code < <(find include src backends tests cl bench examples -name '*.[ch]' 2>/dev/null)
mapfile -t scripts < <(git ls-files 2>/dev/null | grep -E '\.(sh|py|cmake)$|CMakeLists.txt$')

for file in "${code[@]}"; do
    [ -f "$file" ] || continue
    head -n 1 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || fault "$file:1: no SPDX line"
    lines=$(wc -l <"$file")
    if [ "$lines" -gt 400 ] && ! head -n 12 "$file" | grep -qi 'over budget'; then
        fault "$file:$lines: over 400 lines, and the first comment does not say why (\"over budget: ..\")"
    fi
done

# grep_fault PATTERN MESSAGE PATH-PATTERN
grep_fault() {
    local found
    found=$(printf '%s\n' "${code[@]}" | grep -E "$3" | xargs -r grep -nHE "$1" 2>/dev/null)
    [ -z "$found" ] || while IFS= read -r line; do fault "$line: $2"; done <<<"$found"
}
grep_fault '.{101,}' 'over 100 columns' '.'
grep_fault '[[:space:]]+$' 'trailing blank' '.'
grep_fault "$(printf '\t')" 'tab' '.'
grep_fault '\b(strcpy|strcat|sprintf|vsprintf|gets|alloca|tmpnam|system|popen)\(' 'unsafe call' '.'
grep_fault '\b(abort|exit|assert|printf|puts)\(' 'a library neither ends the process nor prints' \
    '^(src/(base|core|layers|model)|backends)/'
grep_fault '#include "(core|layers|model|cli)/' 'a backend includes nothing of src/ but base/' '^backends/'
grep_fault '#include "\.\./' 'includes go through the include path' '^(src|backends|include)/'
grep_fault 'opencl|clblast|avx|neon' 'core knows no ISA and no backend by name' '^src/core/.*\.c$'

found=$(printf '%s\n' "${scripts[@]}" | grep -v 'tests/style.sh' |
        xargs -r grep -nHE 'ffast-math|finite-math|unsafe-math|fast-relaxed' 2>/dev/null)
[ -z "$found" ] || fault "$found: unsafe maths flag"

# Base names are unique, so that a name in a log or a search says which file is meant.
twice=$(printf '%s\n' "${code[@]}" | grep -E '\.[ch]$' | xargs -n1 basename | sort | uniq -d)
[ -z "$twice" ] || fault "file names used twice: $(echo $twice)"

left=$(git ls-files 2>/dev/null | grep -E '\.(orig|rej|bak|swp)$|~$')
[ -z "$left" ] || fault "left over from a merge or an editor: $(echo $left)"

for name in $(sed -n 's/^    X(\([A-Z_]*\)).*/\1/p' src/core/config.h); do
    grep -q "^| \`ATTEND_$name\` |" docs/settings.md || fault "docs/settings.md: ATTEND_$name is missing"
done

python3 tests/function_length.py "${code[@]}" || faults=$((faults + 1))

[ "$faults" -eq 0 ] && echo "style: ${#code[@]} files, no fault"
exit $((faults > 0))
