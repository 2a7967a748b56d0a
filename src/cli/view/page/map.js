// SPDX-License-Identifier: Apache-2.0
//
// One head, large: a map of cells that scrolls over texts of any length. Only the part in view is drawn and has
// labels: a canvas of thousands of cells a side would be beyond what browsers hold.
const LEAST_LABELLED = 9; // pixels of a cell whose labels can be read
const MOST_CELL = 30;
const MOST_LABEL = 150;   // pixels

let cell = 1;          // pixels, may be a fraction
let pointed = null;    // {row, column}: indices into `shown` under the pointer or the arrow keys

function labelSize(tokens, list) {
    const context = byId("cells").getContext("2d");
    context.font = "12px system-ui, sans-serif";
    let widest = 20;
    for (const index of list.slice(0, 2000)) // a bound on the time; longer labels behind are cut
        widest = Math.max(widest, context.measureText(visibleToken(tokens.tokens[index])).width);
    return Math.min(MOST_LABEL, Math.ceil(widest) + 12);
}

function layOut() {
    const map = byId("map"), rows = shown.rows.length, columns = shown.columns.length;
    const left = labelSize(rowTokens, shown.rows), top = labelSize(columnTokens, shown.columns);
    const width = Math.max(160, map.parentElement.parentElement.clientWidth - left - 8), height = window.innerHeight * 0.8 - top;
    const room = width > 900 ? width - 420 : width; // the panel stands beside it where there is space
    cell = +state.cell || Math.min(MOST_CELL, Math.max(room, 240) / Math.max(1, columns), Math.max(height, 240) / Math.max(1, rows));
    if (cell > 1) cell = Math.floor(cell);
    map.style.gridTemplateColumns = left + "px minmax(0, 1fr)";
    byId("column-labels").style.height = top + "px";
    const spacer = byId("spacer");
    spacer.style.width = Math.ceil(columns * cell) + "px";
    spacer.style.height = Math.ceil(rows * cell) + "px";
    const scroller = byId("scroller");
    scroller.style.width = Math.min(width, Math.ceil(columns * cell) + 2) + "px";
    scroller.style.height = Math.min(Math.max(height, 240), Math.ceil(rows * cell) + 2) + "px";
}

// The shown cells that lie in view.
function inView() {
    const scroller = byId("scroller"), x = scroller.scrollLeft, y = scroller.scrollTop;
    const end = (at, size, count) => Math.min(count, Math.ceil((at + size) / cell));
    const row = Math.floor(y / cell), column = Math.floor(x / cell);
    return {
        x: x, y: y, width: scroller.clientWidth, height: scroller.clientHeight, row: row, column: column,
        rows: end(y, scroller.clientHeight, shown.rows.length) - row,
        columns: end(x, scroller.clientWidth, shown.columns.length) - column,
    };
}

function drawMap() {
    const title = headTitle(state.layer, state.head), scroller = byId("scroller");
    scroller.setAttribute("aria-label", title + ": " + shown.rows.length + " rows attend to " + shown.columns.length + " columns");
    drawCells();
}

function drawCells() {
    const canvas = byId("cells"), view = inView(), scale = window.devicePixelRatio || 1;
    canvas.style.width = view.width + "px";
    canvas.style.height = view.height + "px";
    canvas.width = Math.max(1, Math.round(view.width * scale));
    canvas.height = Math.max(1, Math.round(view.height * scale));
    if (view.rows <= 0 || view.columns <= 0) return;
    const codes = codesOf(state.layer, state.head), context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.drawImage(colorsOf(codes, view, canvas), view.column * cell - view.x, view.row * cell - view.y, view.columns * cell, view.rows * cell);
    if (cell >= 6) hatch(context, codes, view);
    outline(context, view);
    drawLabels(view);
}

let colors = {key: "", canvas: null}; // of the cells that were in view last

// A pixel for each cell in view, for several where cells are smaller than pixels.
function colorsOf(codes, view, canvas) {
    const width = cell < 1 ? Math.min(canvas.width, view.columns) : view.columns;
    const height = cell < 1 ? Math.min(canvas.height, view.rows) : view.rows;
    const key = [state.layer, state.head, state.scale, state.rows, state.special, state.texts, effectiveTheme(), view.row,
        view.rows, view.column, view.columns, width, height].join();
    if (colors.key === key) return colors.canvas;
    colors = {key: key, canvas: element("canvas")};
    colors.canvas.width = width;
    colors.canvas.height = height;
    drawPooled(colors.canvas, codes, view);
    return colors.canvas;
}

// What is no number is struck through, since grey could be taken for a colour of the scale.
function hatch(context, codes, view) {
    context.strokeStyle = "#000000";
    context.lineWidth = 1;
    context.beginPath();
    for (let r = view.row; r < view.row + view.rows; r++)
        for (let c = view.column; c < view.column + view.columns; c++)
            if (codes[shown.rows[r] * columnCount + shown.columns[c]] === CODE_NAN) {
                const x = c * cell - view.x, y = r * cell - view.y;
                context.moveTo(x, y + cell);
                context.lineTo(x + cell, y);
            }
    context.stroke();
}

function outline(context, view) {
    const style = getComputedStyle(document.documentElement);
    const box = (color, row, column) => {
        context.strokeStyle = color;
        context.lineWidth = 2;
        const x = column < 0 ? -2 : column * cell - view.x, y = row < 0 ? -2 : row * cell - view.y;
        context.strokeRect(x, y, column < 0 ? view.width + 4 : Math.max(cell, 2), row < 0 ? view.height + 4 : Math.max(cell, 2));
    };
    const row = shown.rows.indexOf(state.row), column = shown.columns.indexOf(state.column);
    if (row >= 0) box(style.getPropertyValue("--mark"), row, -1);
    if (column >= 0) box(style.getPropertyValue("--mark"), -1, column);
    if (pointed) box(style.getPropertyValue("--link"), pointed.row, pointed.column);
}

// ---- labels of what is in view ----

function isFound(tokens, index) {
    const wish = state.find.trim().toLowerCase();
    return wish !== "" && (tokens.tokens[index].toLowerCase().includes(wish) || String(tokens.numbers[index]) === wish);
}

function label(tokens, index, name) {
    const e = tokenElement("span", tokens, index);
    if (state[name] === index) e.classList.add("pinned");
    if (isFound(tokens, index)) e.classList.add("found");
    e.addEventListener("click", () => pin(name, index));
    return e;
}

function drawLabels(view) {
    // Of cells too small for labels only the pinned, the found and the pointed have theirs.
    const wanted = (tokens, index, name) => cell >= LEAST_LABELLED || state[name] === index || isFound(tokens, index);
    const rows = [], columns = [];
    for (let r = view.row; r < view.row + view.rows; r++) {
        if (!wanted(rowTokens, shown.rows[r], "row")) continue;
        const e = label(rowTokens, shown.rows[r], "row");
        e.style.top = (r + 0.5) * cell - view.y - 6 + "px";
        rows.push(e);
    }
    for (let c = view.column; c < view.column + view.columns; c++) {
        if (!wanted(columnTokens, shown.columns[c], "column")) continue;
        const e = label(columnTokens, shown.columns[c], "column");
        e.style.left = (c + 0.5) * cell - view.x - 6 + "px";
        columns.push(e);
    }
    byId("row-labels").replaceChildren(...rows);
    byId("column-labels").replaceChildren(...columns);
}

// ---- pointer and keys ----

function cellAt(event) {
    const box = byId("cells").getBoundingClientRect(), view = inView();
    const row = Math.floor((event.clientY - box.top + view.y) / cell), column = Math.floor((event.clientX - box.left + view.x) / cell);
    return row >= 0 && row < shown.rows.length && column >= 0 && column < shown.columns.length ? {row: row, column: column} : null;
}

function point(at, event) {
    pointed = at;
    const tip = byId("tip");
    drawCells();
    tip.hidden = !at;
    if (!at) return;
    const row = shown.rows[at.row], column = shown.columns[at.column];
    const text = weightText(codeAt(state.layer, state.head, row, column));
    tip.replaceChildren(...pairElements(row, column), element("strong", "", "  " + text),
        document.createTextNode("  (tokens " + rowTokens.numbers[row] + ", " + columnTokens.numbers[column] + ")"));
    const x = event ? event.clientX : 0, y = event ? event.clientY : 0;
    if (event) placeTip(x, y);
    else tip.hidden = true;
    if (!event) byId("spoken").textContent = rowTokens.tokens[row] + " to " + columnTokens.tokens[column] + ": " + text;
}

function placeTip(x, y) {
    const tip = byId("tip"), box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(x + 14, window.innerWidth - box.width - 4)) + "px";
    tip.style.top = (y + 18 + box.height > window.innerHeight ? y - box.height - 10 : y + 18) + "px";
}

// The same token again lets go of it.
function pin(name, index) {
    change({[name]: state[name] === index ? -1 : index});
}

function moveBy(rows, columns) {
    const at = pointed || {row: 0, column: 0};
    const next = {
        row: Math.max(0, Math.min(shown.rows.length - 1, at.row + rows)),
        column: Math.max(0, Math.min(shown.columns.length - 1, at.column + columns)),
    };
    bringIntoView(next.row, next.column);
    point(next, null);
}

function bringIntoView(row, column) {
    const scroller = byId("scroller"), near = (at, start, size) =>
        (at * cell < start ? at * cell : (at + 1) * cell > start + size ? (at + 1) * cell - size : start);
    if (row >= 0) scroller.scrollTop = near(row, scroller.scrollTop, scroller.clientHeight);
    if (column >= 0) scroller.scrollLeft = near(column, scroller.scrollLeft, scroller.clientWidth);
}

function listenToMap() {
    const scroller = byId("scroller");
    scroller.addEventListener("scroll", drawCells);
    scroller.addEventListener("mousemove", (event) => point(cellAt(event), event));
    scroller.addEventListener("mouseleave", () => point(null, null));
    scroller.addEventListener("click", (event) => {
        const at = cellAt(event);
        if (at) change({row: shown.rows[at.row], column: shown.columns[at.column]});
    });
    const steps = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
    scroller.addEventListener("keydown", (event) => {
        if (event.key in steps) {
            moveBy(...steps[event.key]);
            event.preventDefault();
        } else if (event.key === "Enter" && pointed) {
            change({row: shown.rows[pointed.row], column: shown.columns[pointed.column]});
        }
    });
}
