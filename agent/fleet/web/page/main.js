// Wiring: what the server says goes into the store; the store is shown, at most once a frame.

import { Connection } from "./connection.js";
import { Detail } from "./detail.js";
import { element, setAttribute, setText } from "./dom.js";
import { Hosts } from "./hosts.js";
import { SORTS } from "./list.js";
import { Store } from "./store.js";
import { Table } from "./table.js";

const VIEW = "usage-agent.view";
const byId = (id) => document.getElementById(id);

const store = new Store();
const view = { filter: "", stopped: true, group: "host", sort: "cpu", descending: true, collapsed: new Set(), ...remembered() };
const table = new Table(view, changed);
const hosts = new Hosts();
const detail = new Detail(store);
let ready = false;
let lost = null;
let frame;

function remembered() {
  try {
    const found = JSON.parse(localStorage.getItem(VIEW)) ?? {};
    const known = { ...(found.sort in SORTS ? { sort: found.sort } : {}), ...(["host", "project", "none"].includes(found.group) ? { group: found.group } : {}) };
    for (const name of ["stopped", "descending"]) if (typeof found[name] === "boolean") known[name] = found[name];
    return known;
  } catch {
    return {}; // nothing was kept, or the browser keeps nothing
  }
}

function remember() {
  const { stopped, group, sort, descending } = view;
  try {
    localStorage.setItem(VIEW, JSON.stringify({ stopped, group, sort, descending }));
  } catch {
    // The browser keeps nothing.
  }
}

function changed() {
  remember();
  showControls();
  table.resort();
  schedule();
}

function schedule() {
  frame ??= requestAnimationFrame(() => {
    frame = undefined;
    show();
  });
}

function show() {
  showConnection();
  if (!byId("overview").hidden) {
    hosts.show(store);
    const shown = table.show(store, ready);
    const all = store.rows.size;
    const noun = all === 1 ? "container" : "containers";
    setText(byId("count"), ready ? (shown === all ? `${all} ${noun}` : `${shown} of ${all} ${noun}`) : "");
  }
  detail.show();
}

function showConnection() {
  let [kind, text, banner] = ["live", "live", ""];
  if (lost !== null) {
    const why = lost ? `: ${lost}` : "";
    [kind, text, banner] = ["lost", "no connection", `The server does not answer${why}. What you see is old. Trying again every few seconds.`];
  } else if (!ready) {
    [kind, text] = ["waiting", "connecting"];
  } else if (!store.connected) {
    [kind, text, banner] = ["lost", "broker away", `The server has no connection to the broker. What you see is old. It tries again by itself. ${store.trouble}`];
  } else if (store.full) {
    banner = "More is published than the server keeps. Some of it is missing here.";
  }
  setText(byId("connection"), text);
  setAttribute(byId("connection"), "data-kind", kind);
  setText(byId("banner"), banner);
  byId("banner").hidden = !banner;
  document.body.classList.toggle("stale", kind === "lost");
  document.body.classList.toggle("waiting", !ready);
}

function showControls() {
  byId("group").value = view.group;
  byId("sort").value = view.sort;
  byId("stopped").checked = view.stopped;
}

function route() {
  const match = /^#\/container\/([^/]+)\/(.+)$/.exec(location.hash);
  let [host, id] = [];
  try {
    if (match) [host, id] = match.slice(1).map(decodeURIComponent);
  } catch {
    // Not an address of ours.
  }
  const scroll = host === undefined ? overviewScroll : 0;
  if (!byId("overview").hidden) overviewScroll = window.scrollY;
  byId("overview").hidden = host !== undefined;
  detail.open(host, id);
  document.title = host === undefined ? "usage-agent" : `${id} on ${host} – usage-agent`;
  show();
  window.scrollTo(0, scroll);
}

let overviewScroll = 0;

for (const [name, { label }] of Object.entries(SORTS)) byId("sort").append(element("option", { value: name }, label));
byId("controls").addEventListener("submit", (event) => event.preventDefault());
byId("filter").addEventListener("input", (event) => ((view.filter = event.target.value), changed()));
byId("group").addEventListener("change", (event) => ((view.group = event.target.value), changed()));
byId("sort").addEventListener("change", (event) => {
  view.sort = event.target.value;
  view.descending = view.sort !== "name" && view.sort !== "state";
  changed();
});
byId("stopped").addEventListener("change", (event) => ((view.stopped = event.target.checked), changed()));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input, select")) return;
  if (event.key === "/" && !byId("overview").hidden) {
    event.preventDefault();
    byId("filter").focus();
  } else if (event.key === "Escape" && byId("overview").hidden) {
    location.hash = "#/";
  }
});
window.addEventListener("hashchange", route);

changed();
route();
setInterval(schedule, 1000); // times go on without messages

new Connection("events", {
  state(state) {
    if (store.version !== undefined && store.version !== state.version) location.reload(); // the server is another version
    store.setState(state);
    [ready, lost] = [true, null];
    detail.reload();
    schedule();
  },
  update(update) {
    store.update(update);
    lost = null;
    for (const row of update.containers) detail.take(row);
    schedule();
  },
  lost(reason) {
    lost = reason || lost || "";
    schedule();
  },
});
