// SPDX-License-Identifier: Apache-2.0
//
// All layers and heads: each as a small picture, or as one number of its patterns. The table of the patterns.
const measures = [
    {name: "picture", title: "the weights", help: "each head as a small picture"},
    {name: "kind", title: "kind", help: "what stands out in the head"},
    {name: "entropy", title: "entropy", help: "0: each row reads one key; 1: all keys alike"},
    {name: "local", title: "local", help: "weight on keys at most two tokens away", positions: true},
    {name: "distance", title: "distance", help: "mean distance of what is read, in tokens", positions: true},
    {name: "diagonal", title: "itself", help: "weight on the token itself", positions: true},
    {name: "previous", title: "previous", help: "weight on the token before", positions: true},
    {name: "next", title: "next", help: "weight on the token behind", positions: true},
    {name: "first", title: "first", help: "weight on the first key"},
    {name: "special", title: "special", help: "weight on special tokens"},
    {name: "block", title: "block", help: "weight inside the row's own sentence"},
    {name: "highest", title: "highest", help: "mean of the rows' largest weight"},
].filter((m) => !m.positions || data.columns === null);

const SMALL_MOST = 96, SMALL_LEAST = 20; // pixels of a small picture
const smallSize = Math.max(SMALL_LEAST, Math.min(SMALL_MOST, Math.floor(1100 / data.heads.length) - 9));

let smallCells = []; // {layer, head, button, drawn, look}

function makeHeads() {
    const grid = byId("heads");
    grid.style.gridTemplateColumns = "auto repeat(" + data.heads.length + ", auto)";
    const parts = [element("span", "name", data.combined ? "" : "layer \\ head")];
    for (let h = 0; h < data.heads.length; h++) parts.push(element("span", "name", data.combined || data.heads[h]));
    for (let l = 0; l < data.layers.length; l++) {
        parts.push(element("span", "name", data.layers[l]));
        for (let h = 0; h < data.heads.length; h++) parts.push(makeSmall(l, h));
    }
    grid.replaceChildren(...parts);
    if (data.layers.length * data.heads.length === 1) byId("overview").hidden = true;
}

function makeSmall(layer, head) {
    const button = element("button"), p = patternsOf(layer, head);
    button.type = "button";
    const words = [headTitle(layer, head) + ": " + p.kind];
    for (const m of measures.slice(2)) words.push(m.title + " " + measureText(m.name, p));
    button.title = words.join("\n");
    button.setAttribute("aria-label", words.slice(0, 3).join(", "));
    button.addEventListener("click", () => {
        change({layer: layer, head: head});
        byId("detail").scrollIntoView({block: "start", behavior: "smooth"});
    });
    smallCells.push({layer: layer, head: head, button: button, drawn: false});
    return button;
}

function measureText(name, p) {
    if (name === "kind") return p.kind;
    return p[name] === null ? "–" : p[name].toFixed(name === "distance" ? 1 : 2);
}

// ---- small pictures, a few in each frame ----

let waiting = 0;

function drawHeads() {
    const look = [state.measure, state.scale, state.rows, state.special, state.texts, effectiveTheme()].join();
    byId("measure-help").textContent = measures.find((m) => m.name === state.measure).help;
    for (const cell of smallCells) {
        cell.button.setAttribute("aria-pressed", String(cell.layer === state.layer && cell.head === state.head));
        if (cell.look !== look) cell.drawn = false;
        cell.look = look;
    }
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(drawSome);
}

function drawSome() {
    const end = performance.now() + 20;
    for (const cell of smallCells) {
        if (cell.drawn) continue;
        drawSmall(cell);
        cell.drawn = true;
        if (performance.now() > end) {
            waiting = requestAnimationFrame(drawSome);
            return;
        }
    }
    document.documentElement.dataset.heads = "drawn";
}

function drawSmall(cell) {
    if (state.measure === "picture") {
        const codes = codesOf(cell.layer, cell.head);
        cell.button.replaceChildren(smallCanvas(codes));
        return;
    }
    const p = patternsOf(cell.layer, cell.head), box = element("span", "measure", measureText(state.measure, p));
    box.style.width = box.style.height = Math.max(smallSize, 44) + "px";
    const share = state.measure === "kind" ? null : measureShare(state.measure, p);
    if (share !== null) {
        const level = Math.floor(255 * share + 0.5);
        box.style.background = colorOf(level);
        box.style.color = level > 140 ? "#000000" : "#ffffff";
    }
    cell.button.replaceChildren(box);
}

function measureShare(name, p) {
    if (p[name] === null) return null;
    if (name !== "distance") return Math.max(0, Math.min(1, p[name]));
    const most = Math.max(...data.patterns.map((q) => q.distance || 0));
    return most > 0 ? p.distance / most : 0;
}

// Cells larger than a pixel are drawn as one pixel each and stretched; of more cells than pixels the largest stands.
function smallCanvas(codes) {
    const canvas = element("canvas"), rows = shown.rows.length, columns = shown.columns.length;
    canvas.width = Math.max(1, Math.min(smallSize, columns));
    canvas.height = Math.max(1, Math.min(smallSize, rows));
    canvas.style.width = canvas.style.height = smallSize + "px";
    drawPooled(canvas, codes, {row: 0, rows: rows, column: 0, columns: columns});
    return canvas;
}

// The part of the shown cells on the whole canvas, at least one cell a pixel.
function drawPooled(canvas, codes, part) {
    const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
    const highest = highestByRow(codes), back = backColor();
    for (let y = 0; y < canvas.height; y++) {
        const r0 = part.row + Math.floor(y * part.rows / canvas.height);
        const r1 = Math.max(r0 + 1, part.row + Math.floor((y + 1) * part.rows / canvas.height));
        for (let x = 0; x < canvas.width; x++) {
            const c0 = part.column + Math.floor(x * part.columns / canvas.width);
            const c1 = Math.max(c0 + 1, part.column + Math.floor((x + 1) * part.columns / canvas.width));
            paintLargest(image.data, 4 * (y * canvas.width + x), codes, [r0, r1, c0, c1], highest, back);
        }
    }
    context.putImageData(image, 0, 0);
}

function paintLargest(pixels, to, codes, box, highest, back) {
    let best = -1, code = 0, row = shown.rows[box[0]], column = shown.columns[box[2]];
    for (let r = box[0]; r < box[1]; r++)
        for (let c = box[2]; c < box[3]; c++) {
            const found = codes[shown.rows[r] * columnCount + shown.columns[c]];
            const value = values[found];
            if (value === value ? value > best : best < 0) {
                best = value === value ? value : best;
                code = found;
                row = shown.rows[r];
                column = shown.columns[c];
            }
        }
    if (row === undefined || column === undefined) return;
    paint(pixels, to, code, highest(row), isFaded(rowTokens, row) || isFaded(columnTokens, column) ? back : null);
}

// ---- the table of patterns ----

let sorted = {name: "", down: true};

function makePatterns() {
    const head = element("tr");
    const columns = [{name: "layer", title: "layer"}, {name: "head", title: "head"}].concat(measures.slice(1));
    for (const column of columns) {
        const cell = element("th"), button = element("button", "", column.title);
        button.type = "button";
        button.title = column.help || "";
        button.addEventListener("click", () => sortPatterns(column.name));
        cell.scope = "col";
        cell.dataset.name = column.name;
        cell.append(button);
        head.append(cell);
    }
    byId("patterns").querySelector("thead").replaceChildren(head);
    sortPatterns("layer");
}

function sortPatterns(name) {
    const text = name === "layer" || name === "head" || name === "kind";
    sorted = {name: name, down: sorted.name === name ? !sorted.down : !text};
    const key = (cell) => (name === "layer" ? data.layers[cell.layer] : name === "head" ? cell.head
        : patternsOf(cell.layer, cell.head)[name]);
    const rows = smallCells.slice().sort((a, b) => {
        const x = key(a), y = key(b);
        const order = x === y ? 0 : x === null || x < y ? -1 : 1;
        return sorted.down ? -order : order;
    });
    for (const cell of byId("patterns").querySelectorAll("th"))
        cell.setAttribute("aria-sort", cell.dataset.name === name ? (sorted.down ? "descending" : "ascending") : "none");
    byId("patterns").querySelector("tbody").replaceChildren(...rows.map(patternRow));
}

function patternRow(cell) {
    const row = element("tr"), p = patternsOf(cell.layer, cell.head), open = element("td"), button = element("button", "",
        data.layers[cell.layer]);
    button.type = "button";
    open.append(button);
    row.append(open, element("td", "", data.combined || data.heads[cell.head]));
    for (const m of measures.slice(1)) row.append(element("td", "", measureText(m.name, p)));
    row.addEventListener("click", () => change({layer: cell.layer, head: cell.head}));
    return row;
}
