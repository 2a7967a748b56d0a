// SPDX-License-Identifier: Apache-2.0
//
// One head as lines between two columns of tokens: what attends on the left, what it attends to on the right. A
// window of the text, since lines over hundreds of tokens are a blot.
const WINDOW = 60, LINE_HEIGHT = 22, LEAST_SEEN = 0.02; // tokens, pixels, of the highest weight
const NAMESPACE = "http://www.w3.org/2000/svg";

let windowStart = 0;

function svgElement(name, attributes) {
    const e = document.createElementNS(NAMESPACE, name);
    for (const key in attributes) e.setAttribute(key, attributes[key]);
    return e;
}

function drawLines() {
    const count = Math.max(shown.rows.length, shown.columns.length);
    windowStart = Math.max(0, Math.min(windowStart, count - WINDOW));
    const rows = shown.rows.slice(windowStart, windowStart + WINDOW), columns = shown.columns.slice(windowStart, windowStart + WINDOW);
    const left = labelSize(rowTokens, rows) + 10, right = labelSize(columnTokens, columns) + 10, middle = 260;
    const height = Math.max(rows.length, columns.length) * LINE_HEIGHT + 8;
    const svg = svgElement("svg", {width: left + middle + right, height: height, viewBox: "0 0 " + (left + middle + right) + " " + height,
        role: "img", "aria-label": headTitle(state.layer, state.head) + " as lines; the numbers are beside it and in the table"});
    const codes = codesOf(state.layer, state.head), highest = highestByRow(codes), y = (i) => i * LINE_HEIGHT + 16;
    const parts = [];
    rows.forEach((row, i) => columns.forEach((column, j) => {
        if (state.row >= 0 && row !== state.row && (state.column < 0 || column !== state.column)) return;
        if (state.row < 0 && state.column >= 0 && column !== state.column) return;
        const level = levelOf(values[codes[row * columnCount + column]], highest(row)) / 255;
        if (!(level >= LEAST_SEEN)) return;
        const pair = row === state.row && column === state.column;
        parts.push(svgElement("line", {x1: left, y1: y(i) - 4, x2: left + middle, y2: y(j) - 4, class: pair ? "pair" : "",
            "stroke-opacity": level.toFixed(3), "stroke-width": (0.5 + 2.5 * level).toFixed(2)}));
    }));
    rows.forEach((row, i) => parts.push(lineLabel(rowTokens, row, "row", left - 6, y(i), "end")));
    columns.forEach((column, j) => parts.push(lineLabel(columnTokens, column, "column", left + middle + 6, y(j), "start")));
    svg.append(...parts);
    byId("lines").replaceChildren(windowControls(count), svg);
}

// SVG text has no ellipsis; the full token is its tooltip. The side it ends at is the page's, whatever its direction.
function lineLabel(tokens, index, name, x, y, side) {
    const whole = visibleToken(tokens.tokens[index]), letters = Array.from(whole);
    const text = svgElement("text", {x: x, y: y, "text-anchor": side, direction: "ltr", "unicode-bidi": "isolate"});
    text.textContent = "\u2068" + (letters.length > 20 ? letters.slice(0, 19).join("") + "…" : whole) + "\u2069"; // isolated
    if (state[name] === index) text.classList.add("pinned");
    const title = svgElement("title", {});
    title.textContent = tokens.tokens[index] + " (token " + tokens.numbers[index] + ")";
    text.append(title);
    text.addEventListener("click", () => pin(name, index));
    return text;
}

function windowControls(count) {
    const controls = element("p", "controls");
    if (count <= WINDOW) return controls;
    const step = (name, by) => {
        const button = element("button", "", name);
        button.type = "button";
        button.addEventListener("click", () => {
            windowStart += by;
            drawLines();
        });
        return button;
    };
    controls.append(step("earlier", -WINDOW / 2), element("span", "", "tokens " + (windowStart + 1) + " to "
        + Math.min(count, windowStart + WINDOW) + " of " + count), step("later", WINDOW / 2));
    return controls;
}
