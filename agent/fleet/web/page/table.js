// The table. Only the rows in view exist as elements; the order waits while somebody points at a row.

import { element, setAttribute, setText } from "./dom.js";
import { SORTS, listOf } from "./list.js";
import { Row } from "./row.js";

const OVERSCAN_ROWS = 6;
const SORT_SECONDS = 3; // rows that change places each second cannot be read

export class Table {
  // view: as in list.js; changed: called after the user has changed it
  constructor(view, changed) {
    this._view = view;
    this._changed = changed;
    this._body = document.getElementById("body");
    this._empty = document.getElementById("empty");
    this._rows = new Map(); // by key: those that exist as elements
    this._list = [];
    this._rank = null;
    this._sorted_at = 0;
    this._pointed = false;
    this._heads = this._makeHead();
    this._body.addEventListener("pointerenter", () => (this._pointed = true));
    this._body.addEventListener("pointerleave", () => (this._pointed = false));
    this._body.addEventListener("click", (event) => this._onClick(event));
    for (const name of ["scroll", "resize"]) window.addEventListener(name, () => this._schedule(), { passive: true });
  }

  // Sort anew now: the view has changed.
  resort() {
    this._sorted_at = 0;
    for (const [name, head] of this._heads) {
      const direction = this._view.descending ? "descending" : "ascending";
      setAttribute(head, "aria-sort", name === this._view.sort ? direction : "none");
    }
  }

  // Returns how many containers are shown.
  show(store, ready) {
    this._store = store;
    const held = this._pointed || this._body.contains(document.activeElement);
    const due = !this._sorted_at || (!held && performance.now() - this._sorted_at > 1000 * SORT_SECONDS);
    const { list, shown } = listOf([...store.rows.values()], { ...this._view, rank: due ? null : this._rank });
    if (due) this._sorted_at = performance.now();
    this._rank = new Map(list.filter((item) => item.kind === "row").map((item, index) => [item.key, index]));
    this._list = list;
    this._empty.hidden = !ready || list.length > 0;
    setText(this._empty, store.rows.size ? "No container matches." : "No container yet: agents publish here as soon as they run.");
    this.draw();
    return shown;
  }

  draw() {
    const height = parseFloat(getComputedStyle(this._body).gridAutoRows);
    const top = -this._body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / height) - OVERSCAN_ROWS);
    const last = Math.min(this._list.length, Math.ceil((top + window.innerHeight) / height) + OVERSCAN_ROWS);
    this._body.style.height = `${this._list.length * height}px`;
    setAttribute(document.getElementById("table"), "aria-rowcount", String(this._list.length + 1));
    const wanted = this._list.slice(first, last).map((item, index) => ({ item, index: first + index }));
    this._keepFocused(wanted);
    this._place(wanted, height);
  }

  _schedule() {
    if (this._frame || document.getElementById("overview").hidden) return;
    this._frame = requestAnimationFrame(() => {
      this._frame = undefined;
      this.draw();
    });
  }

  // A row with the focus stays, even out of view: the keyboard would start again at the top of the page.
  _keepFocused(wanted) {
    const key = document.activeElement?.closest?.("[data-key]")?.dataset.key;
    if (key === undefined || wanted.some(({ item }) => item.key === key)) return;
    const index = this._list.findIndex((item) => item.key === key);
    if (index < 0) return;
    const entry = { item: this._list[index], index };
    if (index < (wanted[0]?.index ?? 0)) wanted.unshift(entry);
    else wanted.push(entry);
  }

  _place(wanted, height) {
    const keys = new Set(wanted.map(({ item }) => item.key));
    for (const [key, row] of this._rows) {
      if (keys.has(key)) continue;
      row.node.remove();
      this._rows.delete(key);
    }
    const now = this._store.now();
    for (const { item, index } of wanted) {
      if (!this._rows.has(item.key)) this._rows.set(item.key, new Row(item));
      this._rows.get(item.key).show(item, index, height, now);
    }
    this._order(wanted.map(({ item }) => this._rows.get(item.key).node));
  }

  // Elements in the order in which they are seen, for screen readers. One that has the focus is never moved: it would
  // lose it. The others are put before and after it.
  _order(nodes) {
    const fixed = nodes.findIndex((node) => node.contains(document.activeElement));
    let next = null;
    for (let index = nodes.length - 1; index >= 0; index -= 1) {
      const node = nodes[index];
      if (index !== fixed && (node.parentNode !== this._body || node.nextSibling !== next)) this._body.insertBefore(node, next);
      next = node;
    }
  }

  _onClick(event) {
    const toggle = event.target.closest("button[data-group]");
    if (!toggle) return;
    const { collapsed } = this._view;
    if (!collapsed.delete(toggle.dataset.group)) collapsed.add(toggle.dataset.group);
    this._changed();
  }

  _makeHead() {
    const heads = new Map();
    const row = document.getElementById("head");
    const columns = { name: SORTS.name, image: { label: "Image" }, cpu: SORTS.cpu, memory: SORTS.memory, network: SORTS.network, disk: SORTS.disk, pids: SORTS.pids, state: SORTS.state };
    const details = { cpu: "of one core", memory: "used / limit", network: "in / out", disk: "read / written" };
    document.getElementById("table").setAttribute("aria-colcount", String(Object.keys(columns).length));
    for (const [name, { label }] of Object.entries(columns)) {
      const cell = element("div", { role: "columnheader", class: `cell ${name}`, "aria-colindex": row.children.length + 1 });
      const detail = details[name] ? [element("small", {}, details[name])] : [];
      if (SORTS[name]) {
        const button = element("button", { type: "button" }, element("span", {}, label), ...detail);
        button.addEventListener("click", () => this._sortBy(name));
        cell.append(button);
        heads.set(name, cell);
      } else {
        cell.append(label);
      }
      row.append(cell);
    }
    return heads;
  }

  _sortBy(name) {
    const view = this._view;
    view.descending = view.sort === name ? !view.descending : name !== "name" && name !== "state";
    view.sort = name;
    this._changed();
  }
}
