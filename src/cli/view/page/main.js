// SPDX-License-Identifier: Apache-2.0
//
// The page as a whole: its controls, its keys, and draw(), which brings everything up to `state`.
function effectiveTheme() {
    return state.theme !== "auto" ? state.theme : matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function fillPage() {
    byId("caption").textContent = data.caption;
    byId("source").textContent = data.source;
    byId("notices").replaceChildren(...data.notices.map((text) => element("li", "", text)));
    byId("origin").textContent = data.origin;
    byId("measure").append(...measures.map((m) => option(m.name, m.title)));
    byId("layer").append(...data.layers.map((number, i) => option(i, number)));
    byId("head").append(...data.heads.map((number, i) => option(i, data.combined || number)));
    byId("texts-label").hidden = !data.two_texts;
    byId("special-label").hidden = !rowTokens.special.some(Boolean) && !columnTokens.special.some(Boolean);
    makeHeads();
    makePatterns();
}

function showChoices() {
    for (const name of ["layer", "head", "view", "scale", "rows", "special", "texts", "cell", "find", "theme", "measure"])
        if (byId(name) !== document.activeElement || byId(name).tagName === "SELECT") byId(name).value = state[name];
    if (state.theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = state.theme;
    byId("head-title").textContent = headTitle(state.layer, state.head);
    const p = patternsOf(state.layer, state.head);
    byId("head-kind").textContent = measures.slice(1).map((m) => m.title + " " + measureText(m.name, p)).join(" · ");
    const count = (tokens, list) => list.filter((index) => isFound(tokens, index)).length;
    byId("found").textContent = state.find.trim() === "" ? "" : count(rowTokens, shown.rows) + " rows and "
        + count(columnTokens, shown.columns) + " columns hold “" + state.find + "”";
}

function draw() {
    chooseShown();
    showChoices();
    byId("map").hidden = state.view !== "map";
    byId("lines").hidden = state.view !== "lines";
    pointed = null;
    byId("tip").hidden = true;
    if (state.view === "map") {
        layOut();
        drawMap();
    } else {
        drawLines();
    }
    drawLegend();
    drawPanel();
    drawNumbers();
    drawHeads();
}

function stepHead(layers, heads) {
    const wrap = (at, count) => (at + count) % count;
    change({layer: wrap(state.layer + layers, data.layers.length), head: wrap(state.head + heads, data.heads.length)});
}

// The next token that is found becomes the pinned row.
function findNext() {
    const found = shown.rows.filter((index) => isFound(rowTokens, index));
    if (found.length === 0) return;
    const next = found.find((index) => index > state.row);
    change({row: next === undefined ? found[0] : next});
    bringIntoView(shown.rows.indexOf(state.row), -1);
}

function listen() {
    for (const name of ["view", "scale", "rows", "special", "texts", "cell", "theme", "measure"])
        byId(name).addEventListener("change", () => change({[name]: byId(name).value}));
    for (const name of ["layer", "head"]) byId(name).addEventListener("change", () => change({[name]: +byId(name).value}));
    byId("find").addEventListener("input", () => change({find: byId("find").value}));
    byId("find").addEventListener("keydown", (event) => event.key === "Enter" && findNext());
    byId("previous-layer").addEventListener("click", () => stepHead(-1, 0));
    byId("next-layer").addEventListener("click", () => stepHead(1, 0));
    byId("previous-head").addEventListener("click", () => stepHead(0, -1));
    byId("next-head").addEventListener("click", () => stepHead(0, 1));
    byId("numbers").addEventListener("toggle", drawNumbers);
    window.addEventListener("resize", draw);
    window.addEventListener("hashchange", () => {
        readFragment();
        draw();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    listenToMap();
    document.addEventListener("keydown", onKey);
    listenToPrint();
}

const keys = {
    h: () => stepHead(0, -1), l: () => stepHead(0, 1), k: () => stepHead(-1, 0), j: () => stepHead(1, 0),
    v: () => change({view: state.view === "map" ? "lines" : "map"}),
    s: () => change({scale: choices.scale[(choices.scale.indexOf(state.scale) + 1) % 3]}),
    Escape: () => change({row: -1, column: -1}),
};

function onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest("input, select")) {
        if (event.key === "Escape") event.target.blur();
        return;
    }
    if (event.key === "/") {
        byId("find").focus();
        event.preventDefault();
    } else if (event.key in keys) {
        keys[event.key]();
    }
}

// Paper does not scroll: the whole head is drawn to fit.
function listenToPrint() {
    let before = null;
    window.addEventListener("beforeprint", () => {
        before = {cell: state.cell, theme: state.theme};
        Object.assign(state, {cell: "0", theme: "light"});
        draw();
    });
    window.addEventListener("afterprint", () => {
        Object.assign(state, before);
        draw();
    });
}

fillPage();
listen();
readFragment();
draw();
if (state.row >= 0 || state.column >= 0) bringIntoView(shown.rows.indexOf(state.row), shown.columns.indexOf(state.column));
document.documentElement.dataset.ready = "true";
