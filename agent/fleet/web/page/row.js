// One row of the table: of a container, or the sums of a group.

import { element, setAttribute, setText, svg } from "./dom.js";
import { bytes, count, load, mark, percent, rate, shortState } from "./format.js";

const SPARK_WIDTH = 80;
const SPARK_HEIGHT = 20;
const SPARK_SAMPLES = 40;
const SCALES = [5, 10, 25, 50, 100];

export class Row {
  constructor(item) {
    const cell = (name, ...children) => element("div", { role: "cell", class: `cell ${name}` }, ...children);
    const pair = (name) => cell(name, element("span"), element("span"));
    this._isGroup = item.kind === "group";
    this._name = this._isGroup ? this._makeToggle(item) : element("a", { class: "link" });
    this._dot = element("span", { class: "dot", "aria-hidden": "true" });
    this._note = element("span", { class: "note" });
    this._cells = {
      name: cell("name", ...(this._isGroup ? [] : [this._dot]), this._name, this._note),
      image: cell("image"),
      cpu: cell("cpu", element("span", { class: "number" }), ...(this._isGroup ? [] : [this._makeSpark()])),
      memory: cell("memory", element("span", { class: "number" }, element("span"), element("span", { class: "limit" })), ...(this._isGroup ? [] : [this._makeBar()])),
      network: pair("network"),
      disk: pair("disk"),
      pids: cell("pids"),
      state: cell("state"),
    };
    // Narrow screens leave columns out.
    Object.values(this._cells).forEach((one, index) => one.setAttribute("aria-colindex", String(index + 1)));
    const kind = this._isGroup ? "row group" : "row";
    this.node = element("div", { role: "row", class: kind, "data-key": item.key }, ...Object.values(this._cells));
  }

  show(item, index, height, now) {
    const place = `translateY(${index * height}px)`;
    if (this.node.style.transform !== place) this.node.style.transform = place;
    setAttribute(this.node, "aria-rowindex", String(index + 2));
    if (this._isGroup) this._showGroup(item);
    else this._showContainer(item.row, now);
  }

  _showContainer(row, now) {
    const off = row.state === "stopped" || row.state === "lost";
    setText(this._name, row.name);
    setAttribute(this._name, "href", `#/container/${encodeURIComponent(row.host)}/${encodeURIComponent(row.id)}`);
    setAttribute(this._name, "title", row.name);
    setText(this._note, row.dropped ? `${row.dropped} dropped` : "");
    setText(this._cells.image, row.image ?? "");
    setAttribute(this._cells.image, "title", row.image ?? "");
    setAttribute(this.node, "data-mark", mark(row));
    this._showNumbers(off ? {} : row);
    setText(this._cells.state, shortState(row, now));
    this._showSpark(off ? [] : row.spark);
  }

  _showGroup(item) {
    setText(this._name.lastChild, item.name || "without a project");
    setAttribute(this._name, "aria-expanded", String(!item.collapsed));
    this._showNumbers(item);
    setText(this._cells.state, item.running === item.all ? `${item.all} running` : `${item.running} of ${item.all} running`);
  }

  _showNumbers(row) {
    const { cpu, memory, network, disk, pids } = this._cells;
    setText(cpu.firstChild, percent(row.cpu));
    setAttribute(cpu, "data-load", load(row.host_cpu));
    setText(memory.firstChild.firstChild, bytes(row.memory));
    if (!this._isGroup) {
      setText(memory.firstChild.lastChild, row.memory !== undefined && row.memory_limit ? ` / ${bytes(row.memory_limit)}` : "");
      setAttribute(memory, "data-load", load(row.memory_percent));
      this._bar.style.width = `${Math.min(100, row.memory_percent ?? 0)}%`;
      this._bar.parentNode.style.visibility = row.memory_percent === undefined ? "hidden" : ""; // unknown is not empty
    }
    setText(network.firstChild, rate(row.rx));
    setText(network.lastChild, rate(row.tx));
    setText(disk.firstChild, rate(row.read));
    setText(disk.lastChild, rate(row.write));
    setText(pids, count(row.pids));
  }

  _showSpark(values) {
    if (values === this._shown) return;
    this._shown = values;
    const highest = Math.max(0, ...values);
    const scale = SCALES.find((limit) => highest <= limit) ?? highest;
    const x = (index) => SPARK_WIDTH - ((values.length - 1 - index) * SPARK_WIDTH) / (SPARK_SAMPLES - 1);
    const y = (value) => SPARK_HEIGHT - 1 - (value / scale) * (SPARK_HEIGHT - 2);
    const line = values.map((value, index) => (value === null ? "" : `${x(index).toFixed(1)} ${y(value).toFixed(1)}`));
    setAttribute(this._spark, "d", line.some(Boolean) ? `M${line.filter(Boolean).join("L")}` : "");
  }

  _makeSpark() {
    this._spark = svg("path");
    const box = `0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`;
    return svg("svg", { class: "spark", viewBox: box, "aria-hidden": "true", preserveAspectRatio: "none" }, this._spark);
  }

  _makeBar() {
    this._bar = element("span");
    return element("span", { class: "bar", "aria-hidden": "true" }, this._bar);
  }

  _makeToggle(item) {
    const button = element("button", { type: "button", class: "toggle", "data-group": item.key });
    button.append(element("span", { class: "arrow", "aria-hidden": "true" }), element("span"));
    return button;
  }
}
