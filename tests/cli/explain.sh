#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# attend explain with all-MiniLM-L6-v2. usage: explain.sh PROGRAM [BACKEND..] (default: cpu reference); ATTEND_TEST_MODEL
# names the model's folder. Skipped (77) without the model.
# shellcheck source=tests/cli/lib.sh
source "$(dirname "$0")/lib.sh"
shift
[ $# -gt 0 ] || set -- cpu reference
model=${ATTEND_TEST_MODEL:-$source_tree/models/all-MiniLM-L6-v2}
if [ ! -f "$model/model.safetensors" ]; then
    echo "skipped: no model in $model"
    exit 77
fi
animal="The animal didn't cross the street because it was too tired"
explain() { expect 0 explain --model "$model" "$@"; }
# The eight steps in their order.
steps() {
    [ "$(grep -oE '^[1-8]\. ' "$out" | tr -d '. \n')" = 12345678 ] || fault "$what: not the eight steps"
}

# ---- every backend: the numbers, against the layer's own
for backend in "$@"; do
    explain --backend "$backend" --layer 6 --head 12 --query it "$animal"
    steps
    says "$out" "Layer 6, head 12: what \"it\" (token 10)"
    says "$out" "x is [15, 384]; Q, K and V are [15, 32] each"
    says "$out" '"it" attends most to "animal" (token 2): 0.6466.'
    says "$out" "They agree: over all 15 tokens"
    grep -qE '^  2 animal +23\.42[0-9]+ +4\.141[0-9]$' "$out" || fault "$what: not the scores of animal"
    grep -qE '^  2 animal +4\.141[0-9] +1\.0000 +0\.6466  #+$' "$out" || fault "$what: not the weight of animal"
    grep -qE '^ sum +1\.546[0-9] +1\.0000$' "$out" || fault "$what: not the sum of the weights"
    says "$out" "nothing is excluded here"
    # The sums that the tables show are right: the weights add up, the scaled scores are those before by sqrt(32).
    awk '/^6\. / { on = 1 } /^7\. / { on = 0 } on && /^ *[0-9]+ / && NF >= 5 && $NF ~ /#/ { s += $(NF - 1); next }
         on && /^ *[0-9]+ / && NF == 5 { s += $NF } END { exit !(s > 0.9985 && s < 1.0015) }' "$out" ||
        fault "$what: the weights do not add up"
    awk '/^4\. / { on = 1 } /^5\. / { on = 0 } on && /^ *[0-9]+ [^ ]+ +-?[0-9.]+ +-?[0-9.]+$/ {
             n++; d = $3 / sqrt(32) - $4; if (d > 1e-4 || d < -1e-4) bad = 1 } END { exit bad || n != 15 }' "$out" ||
        fault "$what: scaled is not the score by sqrt(D)"

    explain --backend "$backend" --layer 6 --head 12 --query it --causal --padding 2 --language zh "$animal"
    steps
    says "$out" "第 6 层第 12 个头：“it”（词元 10）"
    says "$out" "因果掩码"
    says "$out" "填充掩码"
    says "$out" "这样的键有 6 个（共 17 个）"
    says "$out" "两者一致：在全部 17 个词元上"
    grep -qE '^ 16 \[PAD\] +已排除 +0\.0000 +0\.0000$' "$out" || fault "$what: padding is not excluded"
done

# ---- which word and head
explain "$animal"
says "$out" 'Layer 6, head'
says "$out" '"tired" (token 13)'
says "$out" "Of the 12 heads of this layer"
explain --query it "$animal" # head 12 has the largest weight on another word
says "$out" "Layer 6, head 12: what \"it\""
explain --query it --layer 1 "$animal"
says "$out" "Layer 1, head"
explain --head 3 --query The "$animal!"
says "$out" 'Layer 6, head 3: what "the" (token 1)'
lacks "$out" "Of the 12 heads"
explain "Is it an Ångström?!"
says "$out" 'what "ang" (token 4)'
says "$out" 'The word is cut into 2 tokens; "ang" is the first of them.'
explain --head 12 --query it "$animal" "It sat down"
says "$out" '19 tokens:'
explain --query it:2 "$animal" "It sat down"
says "$out" 'what "it" (token 15)'
explain ""
says "$out" 'what "[CLS]" (token 0)'
explain --causal ""
explain '?'
explain -- "--model is an option"
says "$out" 'what "option"'
what="explain -"
printf '%s' "$animal" | "$program" explain --model "$model" - >"$out" 2>"$err" || fault "$what: status"
says "$out" '"tired" (token 13)'

# ---- language
chinese() { says "$out" "层第"; }
english() { lacks "$out" "层第"; }
for set in LC_ALL=zh_CN.UTF-8 LC_ALL=zh_TW.utf8 LC_ALL=zh "LC_ALL= LC_MESSAGES=zh_CN.UTF-8" "LC_ALL= LANG=zh_SG" \
           "LC_ALL=zh_CN.UTF-8@pinyin LANG=en_US.UTF-8"; do
    # shellcheck disable=SC2086
    env $set "$program" explain --model "$model" --head 1 "$animal" >"$out" 2>"$err" || fault "$set: status"
    what=$set
    chinese
done
for set in LC_ALL=C "LC_ALL=en_US.UTF-8 LANG=zh_CN.UTF-8" "LC_ALL= LC_MESSAGES=de_DE LANG=zh_CN.UTF-8" LC_ALL=zh_CN.GB18030 \
           LC_ALL=zhx "LC_ALL= LANG="; do
    # shellcheck disable=SC2086
    env $set "$program" explain --model "$model" --head 1 "$animal" >"$out" 2>"$err" || fault "$set: status"
    what=$set
    english
done
env LC_ALL=zh_CN.UTF-8 "$program" explain --model "$model" --language en --head 1 "$animal" >"$out" 2>"$err"
what="--language goes before"
english
explain --language zh --head 1 "$animal"
chinese

# ---- lines that fit
export LC_ALL=C.UTF-8 # of wc, which measures in columns
for width in 40 80 133; do
    for language in en zh; do
        COLUMNS=$width explain --language "$language" --head 1 --padding 1 "今天天气真好，ｆｕｌｌ e$(printf '\xcc\x81')tude"
        [ "$(wc -L <"$out")" -le "$width" ] || fault "$what: a line of $(wc -L <"$out") columns, not $width"
    done
done
explain --head 1 $'red \x1b[31m text \xe2\x80\xae'
lacks "$out" $'\x1b'

# ---- refusals
for wrong in "--layer 0" "--layer 7" "--layer x"; do
    # shellcheck disable=SC2086
    expect 1 explain --model "$model" $wrong "$animal"
    refuses "1 to 6"
done
expect 1 explain --model "$model" --head 13 "$animal"
refuses "1 to 12"
for word in cat the:3 ""; do
    expect 1 explain --model "$model" --query "$word" "$animal"
    refuses "'$word'"
    says "$err" "[CLS] the animal"
done
for number in -1 65 x; do
    expect 2 explain --model "$model" --padding "$number" "$animal"
    refuses "'$number'"
done
expect 2 explain --model "$model" --language fr "$animal"
refuses "'fr' is not en or zh"
expect 2 explain "$animal"
refuses "--model DIR"
expect 2 explain --model "$model" a b c
expect 1 explain --model "$model" $'\xc3('
refuses "byte 0"
expect 1 explain --model "$model" --head 1 --padding 3 "$(printf 'a %.0s' $(seq 509))"
refuses "514 tokens"
expect 1 explain --model "$source_tree/tests" "$animal"
refuses "$source_tree/tests"
expect 1 explain --model "$model" --backend nonsense "$animal"
refuses nonsense

finish
