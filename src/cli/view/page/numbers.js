// SPDX-License-Identifier: Apache-2.0
//
// The weights as a table, for screen readers, for searching and for copying; a part of long texts.
const TABLE_MOST = 64; // rows and columns

function drawNumbers() {
    const details = byId("numbers"), table = details.querySelector("table");
    if (!details.open) {
        table.replaceChildren(); // a table of a large head is slow to lay out
        return;
    }
    const rows = windowFrom(shown.rows, state.row), columns = windowFrom(shown.columns, state.column);
    const codes = codesOf(state.layer, state.head), head = element("tr");
    head.append(element("td", "", "row \\ column"));
    for (const column of columns) head.append(heading("col", columnTokens, column));
    const lines = rows.map((row) => {
        const line = element("tr");
        line.append(heading("row", rowTokens, row));
        for (const column of columns) line.append(element("td", "", weightText(codes[row * columnCount + column])));
        return line;
    });
    const cut = rows.length < shown.rows.length || columns.length < shown.columns.length;
    table.replaceChildren(element("caption", "", headTitle(state.layer, state.head) + (cut
        ? ": " + rows.length + " of " + shown.rows.length + " rows and " + columns.length + " of " + shown.columns.length
          + " columns, from the pinned tokens on" : "")), head, ...lines);
}

function windowFrom(list, pinned) {
    const at = Math.max(0, Math.min(list.indexOf(pinned), list.length - TABLE_MOST));
    return list.slice(at, at + TABLE_MOST);
}

function heading(scope, tokens, index) {
    const cell = element("th");
    cell.scope = scope;
    cell.append(tokenElement("bdi", tokens, index));
    return cell;
}
