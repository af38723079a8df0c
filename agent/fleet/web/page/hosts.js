// One tile for each host.

import { element, setAttribute, setText } from "./dom.js";
import { bytes, duration, load, percent, since } from "./format.js";
import { sumsOf } from "./list.js";

export class Hosts {
  constructor() {
    this._list = document.getElementById("hosts");
    this._tiles = new Map();
  }

  show(store) {
    const rows = byHost(store.rows.values());
    for (const [name, tile] of this._tiles) {
      if (store.hosts.has(name)) continue;
      tile.remove();
      this._tiles.delete(name);
    }
    const names = [...store.hosts.keys()].sort();
    names.forEach((name, index) => {
      const tile = this._tiles.get(name) ?? this._make(name);
      this._show(tile, store.hosts.get(name), sumsOf(rows.get(name) ?? []), store.now());
      if (this._list.children[index] !== tile) this._list.insertBefore(tile, this._list.children[index] ?? null);
    });
  }

  _make(name) {
    const line = (kind, ...children) => element("span", { class: kind }, ...children);
    const meter = (label) => line("meter", element("span", {}, label), line("bar", element("span")), element("span"));
    const tile = element("li", { class: "host" }, line("host-name"), line("host-state"), meter("CPU"), meter("Memory"));
    this._tiles.set(name, tile);
    return tile;
  }

  _show(tile, host, sums, now) {
    const [name, state, cpu, memory] = tile.children;
    setText(name, host.host);
    setAttribute(name, "title", host.host);
    setAttribute(tile, "data-mark", host.running ? "ok" : "bad");
    setAttribute(state, "title", host.words ?? "");
    setText(state, host.running ? `${sums.running} of ${sums.all} running` : lostState(host, now));
    // Without figures of the whole machine, as of an engine far away, there are those of its containers.
    const share = host.memory_total ? (100 * host.memory_used) / host.memory_total : undefined;
    showMeter(cpu, host.running, host.cpu_percent, host.cpu_percent === undefined ? ofContainers(percent(sums.cpu)) : percent(host.cpu_percent));
    showMeter(memory, host.running, share, share === undefined ? ofContainers(bytes(sums.memory)) : `${bytes(host.memory_used)} / ${bytes(host.memory_total)}`);
  }
}

function ofContainers(text) {
  return text && `containers ${text}`;
}

function showMeter(meter, running, share, text) {
  const [, bar, value] = meter.children;
  setAttribute(meter, "data-load", running ? load(share) : "");
  bar.style.visibility = share === undefined ? "hidden" : "";
  bar.firstChild.style.width = `${running ? Math.min(100, share ?? 0) : 0}%`;
  setText(value, running ? text : "");
}

function lostState(host, now) {
  const seconds = since(host.ended_at, now);
  const reason = host.reason === "connection lost" || !host.reason ? "agent lost" : "agent stopped";
  return seconds === undefined ? reason : `${reason} ${duration(seconds)} ago`;
}

function byHost(rows) {
  const hosts = new Map();
  for (const row of rows) {
    if (!hosts.has(row.host)) hosts.set(row.host, []);
    hosts.get(row.host).push(row);
  }
  return hosts;
}
