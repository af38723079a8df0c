// The page of one container: what it is, how it is, and its graphs over the kept history.

import { element, setAttribute, setText } from "./dom.js";
import { bytes, count, duration, mark, percent, rate, statusLine } from "./format.js";
import { Graph, niceBinary, niceDecimal, usual } from "./graph.js";

const ANSWER_SECONDS = 20;
const RETRY_SECONDS = 5;
const LEAST_SECONDS = 60; // that a graph shows, however short the history still is
const SPANS = [300, 900, 3600, 6 * 3600, 86400];

const GRAPHS = [
  { title: "CPU", series: [{ name: "cpu" }], format: percent, nice: (top) => niceDecimal(top, 5) },
  { title: "Memory", series: [{ name: "memory" }], format: bytes, nice: (top) => niceBinary(top, 1 << 20) },
  { title: "Network", series: [{ name: "rx", label: "in" }, { name: "tx", label: "out" }], format: rate, nice: (top) => niceBinary(top, 1024) },
  { title: "Disk", series: [{ name: "read", label: "read" }, { name: "write", label: "written" }], format: rate, nice: (top) => niceBinary(top, 1024) },
  {
    title: "Pressure",
    series: [{ name: "pressure_cpu", label: "CPU" }, { name: "pressure_memory", label: "memory" }, { name: "pressure_io", label: "disk" }],
    format: percent,
    nice: (top) => niceDecimal(top, 1),
  },
];
const SERIES = GRAPHS.flatMap((graph) => graph.series.map(({ name }) => name));

export class Detail {
  constructor(store) {
    this._store = store;
    this._section = document.getElementById("detail");
  }

  // Show another container; undefined for none.
  open(host, id) {
    const isNew = host !== this._host || id !== this._id;
    [this._host, this._id] = [host, id];
    this._section.hidden = host === undefined;
    if (!isNew) return;
    this._data = { times: [] };
    this._drawn = undefined;
    this._section.replaceChildren();
    if (host === undefined) return;
    this._build();
    this.reload();
  }

  // Read the history anew: after a new connection samples may be missing.
  async reload() {
    if (this._host === undefined) return;
    const [host, id] = [this._host, this._id];
    const query = new URLSearchParams({ host, container: id });
    clearTimeout(this._timer);
    try {
      const answer = await fetch(`api/history?${query}`, { signal: AbortSignal.timeout(1000 * ANSWER_SECONDS) });
      if (host !== this._host || id !== this._id) return;
      this._data = answer.ok ? await answer.json() : { times: [] };
    } catch {
      this._timer = setTimeout(() => this.reload(), 1000 * RETRY_SECONDS);
    }
    this.show();
  }

  // Add the newest usage to the graphs. Returns whether there is anything to draw.
  take(row) {
    if (row.host !== this._host || row.id !== this._id) return;
    const { times } = this._data;
    if (row.time === undefined || row.state === "stopped" || (times.length && row.time <= times.at(-1) + 0.001)) return;
    times.push(row.time);
    for (const name of SERIES) {
      if (row[name] === undefined && !this._data[name]) continue;
      this._data[name] ??= Array(times.length - 1).fill(null);
      this._data[name].push(row[name] ?? null);
    }
    const old = times.findIndex((time) => time >= row.time - this._store.history);
    if (old <= 0) return;
    for (const values of Object.values(this._data)) values.splice(0, old);
    for (const graph of this._graphs) graph.forget(old);
  }

  show() {
    if (this._host === undefined || !this._graphs) return;
    const now = this._store.now();
    const row = this._find();
    this._showFacts(row, now);
    this._none.hidden = this._data.times.length > 0;
    this._draw(now);
  }

  // Only if there is a new sample: thousands of them take their time.
  _draw(now) {
    const { times } = this._data;
    const newest = times.at(-1);
    const span = Number(this._span.value);
    if (this._drawn?.data === this._data && this._drawn.newest === newest && this._drawn.span === span) return;
    this._drawn = { data: this._data, newest, span };
    const to = newest ?? now; // by the clock of its host, which may be wrong
    const from = Math.min(Math.max(to - span, times[0] ?? 0), to - Math.min(LEAST_SECONDS, span));
    const interval = usual(times);
    for (const graph of this._graphs) graph.show(this._data, from, to, interval);
  }

  _find() {
    for (const row of this._store.rows.values()) if (row.host === this._host && row.id === this._id) return row;
    return undefined;
  }

  _build() {
    this._name = element("h1", {}, this._id);
    this._dot = element("span", { class: "dot", "aria-hidden": "true" });
    this._line = element("p", { class: "status-line" }, this._dot, element("span"));
    this._facts = element("dl", { class: "facts" });
    this._names = undefined; // of the facts that are there
    this._none = element("p", { class: "empty" }, "No usages are kept of this container yet.");
    const spans = SPANS.filter((span) => span < this._store.history).concat(this._store.history);
    this._span = element("select", { id: "span" }, ...spans.map((span) => element("option", { value: span }, `last ${span < 7200 ? `${Math.round(span / 60)} min` : duration(span)}`)));
    this._span.value = String(spans.find((span) => span >= 900) ?? spans.at(-1));
    this._span.addEventListener("change", () => this.show());
    this._graphs = GRAPHS.map((graph) => new Graph(graph));
    const back = element("a", { class: "back", href: "#/" }, "← All containers");
    const bar = element("div", { class: "detail-bar" }, back, element("label", {}, "Show ", this._span));
    this._section.append(bar, this._name, this._line, this._facts, this._none, element("div", { class: "graphs" }, ...this._graphs.map((graph) => graph.node)));
  }

  _showFacts(row, now) {
    setText(this._name, row?.name ?? this._id);
    setAttribute(this._dot, "data-mark", row ? mark(row) : "off");
    setText(this._line.lastChild, row ? statusLine(row, this._store.hosts.get(row.host), now) : "There is no such container on the broker.");
    const facts = row ? factsOf(row) : [];
    const known = facts.filter(([, value]) => value !== "" && value !== undefined);
    if (known.map(([name]) => name).join() !== this._names) {
      this._names = known.map(([name]) => name).join();
      this._facts.replaceChildren(...known.map(([name]) => element("div", {}, element("dt", {}, name), element("dd"))));
    }
    known.forEach(([, value], index) => setText(this._facts.children[index].lastChild, String(value)));
  }
}

function factsOf(row) {
  const off = row.state === "stopped" || row.state === "lost";
  return [
    ["Host", row.host],
    ["Image", row.image],
    ["Project", row.project],
    ["Service", row.service],
    ["Id", row.short_id],
    ["CPU", off ? "" : row.host_cpu === undefined ? percent(row.cpu) : `${percent(row.cpu)} of one core, ${percent(row.host_cpu)} of the host`],
    ["Memory", off || row.memory === undefined ? "" : `${bytes(row.memory)}${row.memory_limit ? ` of ${bytes(row.memory_limit)}, ${percent(row.memory_percent)}` : ""}`],
    ["PIDs", off ? "" : `${count(row.pids)}${row.pids_limit ? ` of ${row.pids_limit}` : ""}`],
    ["Health", row.health === "none" ? "" : row.health],
    ["Restarts", row.restarts],
    ["Usage every", row.interval ? `${Number(row.interval.toFixed(row.interval < 9.5 ? 1 : 0))} s` : ""],
    ["Dropped usages", row.dropped],
  ];
}
