// Which rows the table has, and in which order. Pure.

export const SORTS = {
  name: { label: "Container", value: (row) => row.name },
  cpu: { label: "CPU", value: (row) => row.cpu },
  memory: { label: "Memory", value: (row) => row.memory },
  network: { label: "Network", value: (row) => (row.rx ?? 0) + (row.tx ?? 0) },
  disk: { label: "Disk", value: (row) => (row.read ?? 0) + (row.write ?? 0) },
  pids: { label: "PIDs", value: (row) => row.pids },
  state: { label: "State", value: (row) => row.state },
};

const collator = new Intl.Collator(undefined, { numeric: true });
const SUMS = ["cpu", "memory", "rx", "tx", "read", "write", "pids"];

export const isRunning = (row) => row.state === "running" || row.state === "waiting" || row.state === "late";

// Returns [{ kind: "group", … }, { kind: "row", … }, …].
// view: { filter, stopped, group, sort, descending, collapsed: Set, rank: Map of keys in an order to be kept, or null }
export function listOf(rows, view) {
  const words = view.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = rows.filter((row) => (view.stopped || row.state !== "stopped") && words.every((word) => searched(row).includes(word)));
  const groups = new Map();
  for (const row of chosen) {
    const name = groupOf(row, view.group);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(row);
  }
  const list = [];
  for (const name of [...groups.keys()].sort(byGroup)) {
    const members = groups.get(name).sort(comparison(view));
    const collapsed = view.group !== "none" && view.collapsed.has(`${view.group}/${name}`);
    if (view.group !== "none") list.push({ kind: "group", key: `${view.group}/${name}`, name, collapsed, ...sumsOf(members) });
    if (!collapsed) for (const row of members) list.push({ kind: "row", key: row.key, row });
  }
  return { list, shown: chosen.length };
}

function searched(row) {
  return `${row.name} ${row.image ?? ""} ${row.host} ${row.project ?? ""} ${row.service ?? ""} ${row.short_id ?? ""} ${row.id}`.toLowerCase();
}

function groupOf(row, group) {
  if (group === "none") return "";
  return group === "host" ? row.host : (row.project ?? "");
}

function byGroup(one, other) {
  if (!one || !other) return one ? -1 : 1; // those without a project come last
  return collator.compare(one, other);
}

function comparison({ sort, descending, rank }) {
  const value = SORTS[sort].value;
  const sign = descending ? -1 : 1;
  return (one, other) => {
    if (rank && rank.has(one.key) && rank.has(other.key)) return rank.get(one.key) - rank.get(other.key);
    const stopped = Number(one.state === "stopped") - Number(other.state === "stopped");
    if (stopped) return stopped; // whatever the order is: they use nothing
    const [a, b] = [value(one), value(other)];
    if (a === undefined || b === undefined) {
      if (a !== b) return a === undefined ? 1 : -1;
    } else if (a !== b) {
      return sign * (typeof a === "string" ? collator.compare(a, b) : a - b);
    }
    return collator.compare(one.name, other.name) || collator.compare(one.key, other.key);
  };
}

export function sumsOf(rows) {
  const running = rows.filter((row) => row.state === "running" || row.state === "late");
  const sums = { running: rows.filter(isRunning).length, all: rows.length };
  for (const name of SUMS) {
    const values = running.map((row) => row[name]).filter((value) => value !== undefined);
    if (values.length) sums[name] = values.reduce((sum, value) => sum + value, 0);
  }
  return sums;
}
