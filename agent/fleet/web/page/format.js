// Numbers and times, and states in a word or two. Pure.

const BYTES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

// "12.3 MiB": three digits, so that columns stay as wide as they are.
export function bytes(value) {
  if (value === undefined || value === null) return "";
  let unit = 0;
  while (value >= 999.5 && unit < BYTES.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${digits(value, unit === 0)} ${BYTES[unit]}`;
}

export function rate(value) {
  return value === undefined || value === null ? "" : `${bytes(value)}/s`;
}

export function percent(value) {
  if (value === undefined || value === null) return "";
  return `${value < 100 ? value.toFixed(1) : Math.round(value)} %`;
}

export function count(value) {
  return value === undefined || value === null ? "" : String(value);
}

function digits(value, whole) {
  if (whole || value >= 99.95) return value.toFixed(0);
  return value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

// "3 min", "2 h", "5 d": how long something has lasted.
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 2 * 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

// Seconds since a time in RFC 3339, or undefined.
export function since(time, now) {
  const parsed = Date.parse(time ?? "");
  return Number.isNaN(parsed) ? undefined : Math.max(0, now - parsed / 1000);
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

function ago(time, now) {
  const seconds = since(time, now);
  return seconds === undefined ? "" : `${duration(seconds)} ago`;
}

// By the clock of its host, which may be another than ours.
function uptime(row) {
  return row.time === undefined ? undefined : since(row.started_at, row.time);
}

// One word for the column of the table.
export function shortState(row, now) {
  switch (row.state) {
    case "stopped":
      if (row.oom) return "out of memory";
      return [row.exit_code === undefined ? (row.reason ?? "stopped") : `exit ${row.exit_code}`, ago(row.finished_at ?? row.status_time, now)].filter(Boolean).join(", ");
    case "lost":
      return "agent lost";
    case "late":
      if (row.engine_state === "paused") return "paused";
      return row.trouble ? "no usages" : "late";
    case "waiting":
      return row.trouble ? "no usages" : "starting";
  }
  if (row.trouble) return "no usages";
  if (row.engine_state === "paused") return "paused";
  if (row.health === "unhealthy" || row.health === "starting") return row.health;
  const seconds = uptime(row);
  return seconds === undefined ? "running" : `up ${duration(seconds)}`;
}

// "stopped: exited with 137, out of memory, 3 min ago". What is unusual is said in the server's words; the times go on here.
export function statusLine(row, host, now) {
  const parts = [row.words];
  switch (row.state) {
    case "stopped":
      return `stopped: ${[row.words, ago(row.finished_at ?? row.status_time, now)].filter(Boolean).join(", ")}`;
    case "lost":
      if (host && !host.running) parts.push(host.words, ago(host.ended_at, now));
      break;
    case "late":
      parts.unshift("running");
      parts.push(`no usage for ${duration(row.silent + now - row.at)}`);
      break;
    case "waiting":
      parts.unshift("running, the first usage is to come");
      break;
    default: {
      const seconds = uptime(row);
      parts.unshift(seconds === undefined ? "running" : `running for ${duration(seconds)}`);
    }
  }
  return parts.filter(Boolean).join(", ");
}

// How a row is marked: ok, warn, bad or off.
export function mark(row) {
  if (row.state === "stopped") return row.oom || row.exit_code > 0 ? "bad-off" : "off";
  if (row.state === "lost") return "bad";
  if (row.health === "unhealthy") return "bad";
  if (row.state === "late" || row.trouble || row.health === "starting" || row.engine_state === "paused") return "warn";
  return row.state === "waiting" ? "off" : "ok";
}

// Colour of a share: by load and not by taste.
export function load(share) {
  if (share >= 95) return "bad";
  return share >= 80 ? "warn" : "";
}
