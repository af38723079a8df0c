// A graph over time. Pointer and arrow keys give the values of one moment.

import { element, setAttribute, setText, svg } from "./dom.js";
import { clock } from "./format.js";

const WIDTH = 600; // of the drawing, which the browser scales to whatever room there is
const HEIGHT = 120;
const GAP_INTERVALS = 3; // a line is not drawn over a pause
const MAX_POINTS = 600; // of a line: of more samples the highest of each few are drawn
const KEYS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity };

export class Graph {
  // series: [{ name, label }]; format: of a value; nice: the value of the top line for the highest value
  constructor({ title, series, format, nice }) {
    this._title = title;
    this._series = series;
    this._format = format;
    this._nice = nice;
    this._cursor = null; // index of a sample; null follows the newest
    this._values = series.map(({ name }, index) => element("span", { class: `value line-${index}`, "data-series": name }));
    this._time = element("span", { class: "graph-time" });
    this._top = element("span", { class: "graph-top", "aria-hidden": "true" });
    this._from = element("span");
    this._to = element("span");
    this._paths = series.map((_, index) => svg("path", { class: `line line-${index}` }));
    this._area = svg("path", { class: "area line-0" });
    this._mark = svg("path", { class: "mark" });
    const lines = svg("path", { class: "grid", d: `M0 .5H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 0.5}H${WIDTH}` });
    const drawing = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" };
    this._plot = element("div", { class: "plot", tabindex: "0", role: "slider", "aria-label": `${title} over time`, "aria-valuemin": "0" });
    this._plot.append(svg("svg", drawing, lines, this._area, ...this._paths, this._mark), this._top);
    const head = element("div", { class: "graph-head" }, element("h2", {}, title), this._time, ...this._values);
    this.node = element("section", { class: "graph" }, head, this._plot, element("div", { class: "axis", "aria-hidden": "true" }, this._from, this._to));
    this._listen();
  }

  // data: { times, <series>: [number | null, …] }; from, to: seconds; interval: usual seconds between two samples
  show(data, from, to, interval) {
    this._data = data;
    this._range = [from, to];
    this._pause = GAP_INTERVALS * interval;
    this.node.hidden = !this._series.some(({ name }) => data[name]);
    if (this.node.hidden) return;
    const columns = this._series.map(({ name }) => data[name] ?? []);
    const top = this._nice(columns.reduce((highest, column) => column.reduce((most, value) => (value > most ? value : most), highest), 0));
    this._top_value = top;
    setText(this._top, this._format(top));
    setText(this._from, clock(from));
    setText(this._to, clock(to));
    const lines = columns.map((column) => this._runs(column));
    lines.forEach((runs, index) => setAttribute(this._paths[index], "d", lineOf(runs)));
    setAttribute(this._area, "d", lines.length === 1 ? areaOf(lines[0]) : "");
    this._showCursor();
  }

  _x(time) {
    const [from, to] = this._range;
    return ((time - from) / (to - from)) * WIDTH;
  }

  _y(value) {
    return HEIGHT - 1 - (value / this._top_value) * (HEIGHT - 2);
  }

  // Runs of points without a pause in between.
  _runs(column) {
    const { times } = this._data;
    const first = times.findIndex((time) => time >= this._range[0] - this._pause);
    const step = Math.ceil((times.length - first) / MAX_POINTS);
    const runs = [];
    let run = [];
    let highest; // index of the sample that is drawn for the last few
    const draw = () => {
      if (highest !== undefined) run.push(`${this._x(times[highest]).toFixed(1)} ${this._y(column[highest]).toFixed(1)}`);
      highest = undefined;
    };
    const end = () => {
      draw();
      if (run.length) runs.push(run);
      run = [];
    };
    for (let index = Math.max(0, first); index < times.length; index += 1) {
      const value = column[index] ?? null;
      if (value === null || times[index] - times[index - 1] > this._pause) end();
      if (value !== null && (highest === undefined || value > column[highest])) highest = index;
      if ((index - first) % step === step - 1) draw();
    }
    end();
    return runs;
  }

  _showCursor() {
    const { times } = this._data;
    const last = times.length - 1;
    const index = this._cursor === null ? last : Math.min(this._cursor, last);
    const shown = this._series.map(({ name, label }, number) => {
      const value = this._data[name]?.[index];
      const text = value === null || value === undefined ? "–" : this._format(value);
      setText(this._values[number], label ? `${label} ${text}` : text);
      return label ? `${label} ${text}` : text;
    });
    const time = last < 0 ? "" : clock(times[index]);
    setText(this._time, this._cursor === null ? "" : time);
    setAttribute(this._mark, "d", this._cursor === null || last < 0 ? "" : `M${this._x(times[index]).toFixed(1)} 0V${HEIGHT}`);
    setAttribute(this._plot, "aria-valuemax", String(Math.max(0, last)));
    setAttribute(this._plot, "aria-valuenow", String(Math.max(0, index)));
    setAttribute(this._plot, "aria-valuetext", last < 0 ? "no values yet" : `${time}: ${shown.join(", ")}`);
  }

  _listen() {
    const { _plot: plot } = this;
    plot.addEventListener("pointermove", (event) => this._moveTo(this._nearest(event)));
    plot.addEventListener("pointerleave", () => this._moveTo(null));
    plot.addEventListener("blur", () => this._moveTo(null));
    plot.addEventListener("keydown", (event) => {
      const step = KEYS[event.key];
      if (step === undefined || !this._data?.times.length) return;
      event.preventDefault();
      const last = this._data.times.length - 1;
      this._moveTo(Math.max(0, Math.min(last, (this._cursor ?? last) + step)));
    });
  }

  _moveTo(cursor) {
    this._cursor = cursor;
    if (this._data) this._showCursor();
  }

  _nearest(event) {
    const times = this._data?.times ?? [];
    if (!times.length) return null;
    const box = this._plot.getBoundingClientRect();
    const [from, to] = this._range;
    const time = from + ((event.clientX - box.left) / box.width) * (to - from);
    let nearest = 0;
    for (let index = 1; index < times.length; index += 1) {
      if (Math.abs(times[index] - time) <= Math.abs(times[nearest] - time)) nearest = index;
    }
    return nearest;
  }

  // The samples have moved by so many to the left.
  forget(samples) {
    if (this._cursor !== null) this._cursor = Math.max(0, this._cursor - samples);
  }
}

function lineOf(runs) {
  return runs.map((run) => `M${run.join("L")}${run.length === 1 ? "h1" : ""}`).join("");
}

function areaOf(runs) {
  const edge = (point) => point.split(" ")[0];
  return runs.map((run) => `M${edge(run[0])} ${HEIGHT}L${run.join("L")}L${edge(run.at(-1))} ${HEIGHT}Z`).join("");
}

// The usual time between two samples: the median.
export function usual(times) {
  const steps = times.slice(1).map((time, index) => time - times[index]).sort((one, other) => one - other);
  return steps[Math.floor(steps.length / 2)] || 10;
}

// The next of 1, 2, 5, 10, 20, … above a value.
export function niceDecimal(value, least) {
  const wanted = Math.max(value, least);
  const power = 10 ** Math.floor(Math.log10(wanted));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= wanted) ?? wanted;
}

// The next power of two above a number of bytes.
export function niceBinary(value, least) {
  return 2 ** Math.ceil(Math.log2(Math.max(value, least)));
}
