#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The program with all-MiniLM-L6-v2. usage: model.sh PROGRAM [FOLDER]; ATTEND_TEST_MODEL goes before FOLDER. Skipped (77)
# without the model.
# shellcheck source=tests/cli/lib.sh
source "$(dirname "$0")/lib.sh"
model=${ATTEND_TEST_MODEL:-${2:-$source_tree/models/all-MiniLM-L6-v2}}
if [ ! -f "$model/model.safetensors" ]; then
    echo "skipped: no model in $model"
    exit 77
fi
animal="The animal didn't cross the street because it was too tired"
wide=今天天气真好，我想出去玩

# ---- tokenize
expect 0 tokenize --model "$model" "Unbelievable Ångström"
printf '101\t[CLS]\n23653\tunbelievable\n17076\tang\n15687\t##strom\n102\t[SEP]\n' >"$work/want"
cmp -s "$out" "$work/want" || fault "tokenize: other tokens"
what="tokenize -"
printf 'Unbelievable Ångström' | "$program" tokenize --model "$model" - >"$out" 2>"$err"
cmp -s "$out" "$work/want" || fault "tokenize -: other tokens than of the argument"
expect 1 tokenize --model "$model" $'good \xff bad'
refuses 5
expect 1 tokenize --model "$source_tree/tests" text
refuses "$source_tree/tests"
what="tokenize from a folder"
status=0
"$program" tokenize --model "$model" - <"$work" >"$out" 2>"$err" || status=$?
[ "$status" -eq 1 ] || fault "$what: status $status"
refuses "standard input"

# ---- embed
expect 0 embed --model "$model" "a cat sleeps"
[ "$(wc -l <"$out"):$(wc -w <"$out")" = 1:384 ] || fault "embed: not 384 numbers on a line"
awk '{ for (i = 1; i <= NF; ++i) s += $i * $i; exit !(s > 0.99999 && s < 1.00001) }' "$out" ||
    fault "embed: not of unit length"
cp "$out" "$out.one"
expect 0 embed --model "$model" --lines "a kitten
a cat sleeps
"
[ "$(wc -l <"$out")" = 2 ] && tail -n 1 "$out" | cmp -s - "$out.one" || fault "embed --lines: not the vector of each line"
rm -f "$out.one"
expect 2 embed --model "$model" --lines a b
expect 0 embed --model "$model" "a cat sleeps" "a cat sleeps"
says "$out" 1.0000
similarity() { expect 0 embed --model "$model" "$1" "$2"; read -r value <"$out"; }
similarity "a man is eating food" "a man is eating a piece of bread"
near=$value
similarity "a man is eating food" "the stock market fell"
awk -v a="$near" -v b="$value" 'BEGIN { exit !(a > b + 0.3) }' || fault "embed: $near is not above $value"

# ---- check
expect 0 check --model "$model" "$source_tree/tests/data/minilm.safetensors"
says "$out" "5 passed, 0 failed, 0 skipped"

# ---- view: the numbers
view() { expect 0 view --model "$model" "$@"; }
view --layer 6 --head 12 --focus it "$animal"
head -n 2 "$out" | tail -n 1 | grep -qE '^ animal +0\.6466 ' || fault "$what: 'animal' does not lead with 0.6466"
says "$out" "layer 6, head 12"
view --layer 6 --head 12 --focus it --backend reference "$animal"
grep -qE '^ animal +0\.6466 ' "$out" || fault "$what: not 0.6466 on reference"
view --layer 6 --head 12 --focus IT "$animal"
grep -qE '^ animal +0\.6466 ' "$out" || fault "$what: case matters"
view --layer 6 --head 12 --focus it --no-special "$animal"
lacks "$out" '[CLS]'
grep -qE '^ animal +0\.6466 ' "$out" || fault "$what: hiding special tokens changes a weight"
view "$animal"
says "$out" "layer 6, mean of 12 heads"
view --focus the:2 "$animal"
says "$out" '"the" (token 7)'
view --focus the "$animal"
says "$out" '"the" (token 1)'
view --focus ångström "An Ångström is small"
says "$out" '"ang" (token 2)'
says "$out" '"##strom" (token 3)'
view --focus '[CLS]' "$animal"
says "$out" '"[CLS]" (token 0)'
expect 1 view --model "$model" --focus ang "An Ångström is small" # a piece is no word
view --focus '##strom' "An Ångström is small"
says "$out" '"##strom" (token 3)'
view --focus 想 "$wide"
says "$out" '"[UNK]" (token 9)'
view ""
view -- "--model is an option"
says "$out" option

# ---- view: what it refuses
for wrong in "--layer 0" "--layer 7" "--layer x" "--layer -1"; do
    # shellcheck disable=SC2086
    expect 1 view --model "$model" $wrong "$animal"
    refuses "1 to 6"
done
expect 1 view --model "$model" --head 13 "$animal"
refuses "1 to 12"
for word in cat the:3 strom anim [CLS]:2 ""; do
    expect 1 view --model "$model" --focus "$word" "$animal"
    refuses "'$word'"
    says "$err" "[CLS] the animal"
done
expect 1 view --model "$model" --focus '[CLS]' --no-special "$animal"
refuses "'[CLS]'"
expect 1 view --model "$model" --no-special ""
refuses "no token"
expect 1 view --model "$model" $'\xc3('
refuses 0
long=$(printf 'word %.0s' $(seq 600))
expect 1 view --model "$model" "$long"
refuses 512
expect 1 view --model "$model" --backend nonsense "$animal"
refuses nonsense

# ---- view: terminals
escape=$'\x1b'
view "$animal"
lacks "$out" "$escape"
for_all_lines_at_most() {
    [ "$(wc -L <"$out")" -le "$1" ] || fault "$what: a line of $(wc -L <"$out") columns, not $1"
}
for_all_lines_at_most 80
for locale in C C.UTF-8; do
    for width in 20 40 80 133; do
        export LC_ALL=C.UTF-8 # of wc, which measures in columns
        for text in "$animal" "$wide" "e$(printf '\xcc\x81')tude 👍🏽 ｆｕｌｌ"; do
            COLUMNS=$width LC_ALL=$locale view "$text"
            grep -E '^ *[0-9]+ ' "$out" | grep -v '^0 .*0\.' >"$work/rows"
            columns=$(while IFS= read -r line; do printf '%s\n' "$line" | wc -L; done <"$work/rows" | sort -u)
            [ "$(wc -w <<<"$columns")" -eq 1 ] || fault "$what: rows of $columns columns at $width, $locale"
            [ "$columns" -le "$width" ] || [ "$width" -lt 40 ] || fault "$what: $columns columns at $width"
        done
    done
done
export LC_ALL=C.UTF-8
COLUMNS=30 view "$(printf 'word %.0s' $(seq 60))"
says "$out" "columns fit here"
for wish in COLUMNS=0 COLUMNS=x COLUMNS=-5 COLUMNS=; do
    export "${wish?}"
    view "$animal"
    for_all_lines_at_most 80
done
unset COLUMNS
view --color always "$animal"
says "$out" "${escape}[48;5;"
COLORTERM=truecolor view --color always "$animal"
says "$out" "${escape}[48;2;"
NO_COLOR=1 COLORTERM=truecolor view --color always "$animal"
says "$out" "${escape}[48;2;"
[ "$(grep -c "${escape}\[48" "$out")" -eq "$(grep -c "${escape}\[0m\$\|${escape}\[0m " "$out")" ] ||
    fault "$what: a line that does not end its colours"
COLORTERM=truecolor view --color never "$animal"
lacks "$out" "$escape"
if script -qec true /dev/null >/dev/null 2>&1; then # a container may have no pseudo-terminals
    on_terminal() { # VARIABLES.. : with these, the map on a terminal
        what="view on a terminal, $*"
        env "$@" PROGRAM="$program" MODEL="$model" TEXT="$wide" \
            script -qec 'stty cols 61; "$PROGRAM" view --model "$MODEL" "$TEXT"' /dev/null \
            </dev/null 2>&1 | tr -d '\r' >"$out"
        says "$out" "mean of 12 heads"
    }
    on_terminal TERM=xterm-256color COLORTERM=truecolor
    says "$out" "${escape}[48;2;"
    sed "s/$escape\[[0-9;]*m//g" "$out" >"$work/plain"
    [ "$(wc -L <"$work/plain")" -le 61 ] || fault "$what: wider than the terminal"
    on_terminal TERM=xterm-256color
    says "$out" "${escape}[48;5;"
    on_terminal TERM=dumb COLORTERM=truecolor
    lacks "$out" "$escape"
    on_terminal TERM=xterm-256color COLORTERM=truecolor NO_COLOR=1
    lacks "$out" "$escape"
    on_terminal TERM=xterm-256color NO_COLOR=
    says "$out" "${escape}[48;5;"
fi
view $'red \x1b[31m text \x07 \xc2\x9b0m \xe2\x80\xae'
lacks "$out" "$escape"
lacks "$out" $'\x07'

# ---- view: pictures
well_formed() {
    if command -v xmllint >/dev/null; then
        xmllint --noout --nonet "$1" 2>"$err" || fault "$what: $1 is not well-formed"
    elif command -v python3 >/dev/null; then
        python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$1" 2>"$err" ||
            fault "$what: $1 is not well-formed"
    fi
}
picture=$work/map.svg
view --layer 6 --head 12 --focus it --out "$picture" "$animal"
well_formed "$picture"
grep -qF '<title>it to animal: 0.6466</title>' "$picture" || fault "$what: no weight in the picture"
[ "$(grep -c '</title></rect>' "$picture")" -eq $((15 * 15)) ] || fault "$what: not 225 cells"
grep -qE '(href|src|url)' "$picture" && fault "$what: the picture asks for something else"
for text in "$wide" '<script>alert("1")</script> & ]]>' $'a \x1b \xef\xbf\xbe b' ""; do
    view --out "$picture" "$text"
    well_formed "$picture"
    grep -q '<script' "$picture" && fault "$what: markup of the text is in the picture"
done
view --out "$picture" $'one \xe2\x80\xae two \xc2\x9b'
grep -qF '<title>layer 6, mean of 12 heads: one \u202e two \u009b</title>' "$picture" || fault "$what: no escapes"
compgen -G "$work/*.svg.*" >/dev/null && fault "$what: a temporary file is left"
umask 022
rm "$picture"
view --out "$picture" "$animal"
[ "$(stat -c %a "$picture")" = 644 ] || fault "$what: the picture has permissions $(stat -c %a "$picture")"
ln -s map.svg "$work/link.svg"
view --no-special --out "$work/link.svg" "$animal"
[ -L "$work/link.svg" ] || fault "$what: the link was replaced"
grep -q '<title>animal to animal' "$picture" || fault "$what: not written through the link"
expect 1 view --model "$model" --out "$work/no/such/folder.svg" "$animal"
says "$err" "$work/no/such/folder.svg"
mkdir "$work/folder.svg"
expect 1 view --model "$model" --out "$work/folder.svg" "$animal"
says "$err" folder.svg
expect 1 view --model "$model" --out /dev/full "$animal"
says "$err" /dev/full
what="view on a full disk"
status=0
"$program" view --model "$model" "$animal" >/dev/full 2>"$err" || status=$?
[ "$status" -eq 1 ] || fault "$what: status $status"


# ---- view: several heads, windows, two texts, patterns (tests/view has what needs no model)
view --layer 5-6 --head 1-3 "$animal"
[ "$(grep -c 'rows attend to columns' "$out")" -eq 6 ] || fault "$what: not six heads"
says "$out" "layer 5, head 3: rows"
view --layer all --head max "$animal"
says "$out" "layer 1, maximum of 12 heads"
view --layer 6 --head 12 --query 10-11 --key 0-4 --focus it "$animal"
head -n 2 "$out" | tail -n 1 | grep -qE '^ animal +0\.6466 ' || fault "$what: a window changes a weight"
says "$out" "2 of 15 rows are shown"
expect 1 view --model "$model" --query 9-15 "$animal"
refuses "0 to 14"
cat="The cat drank the milk." it="It was hungry."
view --layer 6 --head 12 --out "$picture" "$cat" "$it"
well_formed "$picture"
[ "$(grep -c '</title></rect>' "$picture")" -eq $((13 * 13)) ] || fault "$what: not 169 cells"
grep -F '<title>it to cat' "$picture" >"$work/whole"
for pair in A-A:8:8 A-B:8:5 B-A:5:8 B-B:5:5; do
    IFS=: read -r pair rows columns <<<"$pair"
    view --layer 6 --head 12 --pair "$pair" --out "$picture" "$cat" "$it"
    [ "$(grep -c '</title></rect>' "$picture")" -eq $((rows * columns)) ] || fault "$what: not $rows x $columns cells"
    [ "$pair" != B-A ] && continue
    grep -F '<title>it to cat' "$picture" | grep -o '<title>.*</title>' >"$work/part"
    [ -s "$work/part" ] && grep -qFf "$work/part" "$work/whole" || fault "$what: a filter changes a weight"
done
view --pair B-A --no-special --focus it "$cat" "$it"
says "$out" '"it" (token 8)'
lacks "$out" '[SEP]'
expect 1 view --model "$model" --pair A-A --focus hungry "$cat" "$it"
refuses "'hungry'"
expect 1 view --model "$model" --pair A-B "$cat"
refuses "there is one"
view --patterns "$animal"
grep -qE '^ +1 +3 +previous ' "$out" || fault "$what: layer 1, head 3 looks at the token before"
[ "$(wc -l <"$out")" -eq 73 ] || fault "$what: not 72 heads"
view --patterns --format json "$cat"
[ "$(grep -c '"block": null' "$out")" -eq 72 ] || fault "$what: a block in one sentence"
view --patterns --format json "$cat" "$it"
lacks "$out" '"block": null'
view --patterns --layer 6 --sort special --backend reference "$animal"
[ "$(wc -l <"$out")" -eq 13 ] || fault "$what: not 12 heads"
view --out "$work/page.html" "$animal"
[ "$(grep -c 'id="w[0-9]*-[0-9]*"' "$work/page.html")" -eq 72 ] || fault "$what: not 72 heads in the page"
view --layer 6 --head 12 --out "$work/page.html" "$animal"
[ "$(grep -c 'id="w[0-9]*-[0-9]*"' "$work/page.html")" -eq 1 ] || fault "$what: not one head in the page"
expect 1 view --model "$model" --layer all --out "$picture" "$animal"
refuses "one head"

finish
