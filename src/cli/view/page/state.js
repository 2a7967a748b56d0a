// SPDX-License-Identifier: Apache-2.0
//
// What is being looked at. It stands in the address's fragment, so that a view can be linked, and every change goes
// through change(), which redraws what depends on it. Layers, heads and tokens are named there as people count them.
const choices = {
    view: ["map", "lines"],
    scale: ["linear", "sqrt", "log"],
    rows: ["head", "own"],
    special: ["show", "fade", "hide"],
    texts: ["all", "aa", "ab", "ba", "bb"],
    cell: ["0", "2", "6", "12", "20", "28"],
    order: ["weight", "text"],
    theme: ["auto", "light", "dark"],
};

const first = {layer: 0, head: 0, row: -1, column: -1, measure: "picture", find: ""};
for (const name in choices) first[name] = choices[name][0];
Object.assign(first, data.start); // what the command line asked for
const state = Object.assign({}, first);

function numberIn(list, text, otherwise) {
    const index = list.findIndex((number) => String(number) === text);
    return index < 0 ? otherwise : index;
}

function readFragment() {
    const wish = new URLSearchParams(location.hash.slice(1));
    Object.assign(state, first);
    for (const name in choices)
        if (choices[name].includes(wish.get(name))) state[name] = wish.get(name);
    if (wish.has("layer")) state.layer = numberIn(data.layers, wish.get("layer"), state.layer);
    if (wish.has("head")) state.head = numberIn(data.heads, wish.get("head"), state.head);
    if (wish.has("row")) state.row = numberIn(rowTokens.numbers, wish.get("row"), -1);
    if (wish.has("key")) state.column = numberIn(columnTokens.numbers, wish.get("key"), -1);
    if (wish.has("find")) state.find = wish.get("find");
    if (measures.some((m) => m.name === wish.get("measure"))) state.measure = wish.get("measure");
}

function fragment() {
    const wish = new URLSearchParams();
    wish.set("layer", data.layers[state.layer]);
    if (!data.combined) wish.set("head", data.heads[state.head]);
    for (const name in choices)
        if (state[name] !== first[name]) wish.set(name, state[name]);
    if (state.row !== first.row) wish.set("row", state.row < 0 ? "none" : rowTokens.numbers[state.row]);
    if (state.column !== first.column) wish.set("key", state.column < 0 ? "none" : columnTokens.numbers[state.column]);
    if (state.measure !== first.measure) wish.set("measure", state.measure);
    if (state.find !== first.find) wish.set("find", state.find);
    return "#" + wish;
}

function change(wish) {
    Object.assign(state, wish);
    history.replaceState(null, "", fragment());
    draw();
}

// ---- which rows and columns are shown ----

// Indices of tokens that the choices of special tokens and texts leave.
function shownOf(tokens, text) {
    const list = [];
    for (let i = 0; i < tokens.tokens.length; i++) {
        if (state.special === "hide" && tokens.special[i]) continue;
        if (text && tokens.second[i] !== (text === "b" ? 1 : 0)) continue;
        list.push(i);
    }
    return list;
}

let shown = {rows: [], columns: []};

function chooseShown() {
    const both = state.texts === "all" || !data.two_texts;
    shown = {rows: shownOf(rowTokens, both ? "" : state.texts[0]), columns: shownOf(columnTokens, both ? "" : state.texts[1])};
}

function isFaded(tokens, index) {
    return state.special === "fade" && tokens.special[index];
}
