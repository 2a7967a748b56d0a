// SPDX-License-Identifier: Apache-2.0
//
// What is pinned, in numbers: the bars of a row or of a column beside its text, and for a pair of tokens the heads in
// which the weight between them is largest.
const MOST_BARS = 400; // of a long text; the rest is said, and stands in the table

function drawPanel() {
    const title = byId("panel-title"), body = byId("panel-body");
    if (state.row < 0 && state.column < 0) {
        title.textContent = "Nothing is pinned";
        body.replaceChildren(element("p", "", "Click a token to see its weights as numbers; click a cell for both of its tokens. "
            + "Strongest here:"), strongest());
        return;
    }
    const byRow = state.row >= 0;
    const entries = entriesOf(byRow), name = byRow ? tokenElement("bdi", rowTokens, state.row) : tokenElement("bdi", columnTokens, state.column);
    title.replaceChildren(document.createTextNode(byRow ? "What " : "What attends to "), name,
        document.createTextNode(byRow ? " attends to" : ""));
    const parts = [];
    if (state.row >= 0 && state.column >= 0) parts.push(pairLine(), ...pairHeads());
    parts.push(orderControl(), bars(entries, byRow), coloredText(entries, byRow));
    body.replaceChildren(...parts);
}

// The weights of the pinned row, or of the pinned column, over what is shown: {index, code, value}.
function entriesOf(byRow) {
    const list = byRow ? shown.columns : shown.rows;
    return list.map((index) => {
        const code = byRow ? codeAt(state.layer, state.head, state.row, index) : codeAt(state.layer, state.head, index, state.column);
        return {index: index, code: code, value: values[code] || 0};
    });
}

function pairLine() {
    const line = element("p");
    line.append(...pairElements(state.row, state.column),
        element("strong", "", "  " + weightText(codeAt(state.layer, state.head, state.row, state.column))));
    line.id = "pair";
    return line;
}

// Where else the row's token attends to the column's token.
function pairHeads() {
    if (smallCells.length < 2) return [];
    const heads = smallCells.map((c) => ({layer: c.layer, head: c.head, code: codeAt(c.layer, c.head, state.row, state.column)}));
    heads.sort((a, b) => (values[b.code] || 0) - (values[a.code] || 0));
    const box = element("details"), list = element("ol");
    box.append(element("summary", "", "The heads in which this weight is largest"), list);
    box.open = true;
    for (const h of heads.slice(0, 8)) list.append(barLine(element("span", "", headTitle(h.layer, h.head)), h.code, values[heads[0].code],
        h.layer === state.layer && h.head === state.head, () => change({layer: h.layer, head: h.head})));
    return [box];
}

function barLine(name, code, most, current, action) {
    const line = element("li"), bar = element("span", "bar");
    bar.style.width = (most > 0 ? 100 * (values[code] || 0) / most : 0) + "%";
    line.append(name, element("span", "number", weightText(code)), bar);
    if (current) line.setAttribute("aria-current", "true");
    line.addEventListener("click", action);
    return line;
}

function orderControl() {
    const controls = element("p", "controls"), choice = element("select"), words = element("label", "", "Order ");
    choice.append(option("weight", "by weight"), option("text", "as in the text"));
    choice.value = state.order;
    choice.id = "order";
    choice.addEventListener("change", () => change({order: choice.value}));
    words.append(choice);
    controls.append(words);
    return controls;
}

function bars(entries, byRow) {
    const list = element("ol"), tokens = byRow ? columnTokens : rowTokens, other = byRow ? "column" : "row";
    list.id = "bars";
    const most = entries.reduce((m, e) => Math.max(m, e.value), 0);
    const ordered = state.order === "weight" ? entries.slice().sort((a, b) => b.value - a.value || a.index - b.index) : entries;
    for (const e of ordered.slice(0, MOST_BARS))
        list.append(barLine(tokenElement("span", tokens, e.index), e.code, most, state[other] === e.index, () => pin(other, e.index)));
    if (ordered.length > MOST_BARS) list.append(element("li", "", "and " + (ordered.length - MOST_BARS) + " more"));
    return list;
}

// The text itself, each token on the colour of its weight.
function coloredText(entries, byRow) {
    const text = element("p", "text"), tokens = byRow ? columnTokens : rowTokens;
    const most = entries.reduce((m, e) => (isFaded(tokens, e.index) ? m : Math.max(m, e.value)), 0);
    for (const e of entries.slice(0, 4000)) {
        const token = tokenElement("span", tokens, e.index), level = levelOf(e.value, most);
        token.style.background = colorOf(level);
        token.style.color = level > 140 ? "#000000" : "#ffffff";
        if (isFaded(tokens, e.index)) token.style.opacity = "0.25";
        token.title += ": " + weightText(e.code);
        token.addEventListener("click", () => pin(byRow ? "column" : "row", e.index));
        text.append(token, document.createTextNode(" "));
    }
    return text;
}

// The largest weights of the head, so that there is something to begin with.
function strongest() {
    const codes = codesOf(state.layer, state.head), best = [], MOST = 12;
    for (const row of shown.rows)
        for (const column of shown.columns) {
            const code = codes[row * columnCount + column], value = values[code] || 0;
            if (best.length === MOST && value <= best[MOST - 1].value) continue;
            if (isFaded(columnTokens, column) || value === 0) continue;
            best.push({row: row, column: column, code: code, value: value});
            best.sort((a, b) => b.value - a.value);
            best.length = Math.min(best.length, MOST);
        }
    const list = element("ol");
    for (const b of best) {
        const name = element("span", "token");
        name.append(...pairElements(b.row, b.column));
        list.append(barLine(name, b.code, best[0].value, false, () => change({row: b.row, column: b.column})));
    }
    return list;
}
