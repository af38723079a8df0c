// What the server has said so far.

const SPARK_SAMPLES = 40;

export const keyOf = (row) => JSON.stringify([row.host, row.id]);

export class Store {
  constructor() {
    this.hosts = new Map();
    this.rows = new Map();
    this.connected = false;
    this.trouble = "";
    this.history = 3600;
    this.version = undefined;
    this.full = false;
    this._ahead = 0; // of the server's clock before ours, in seconds
  }

  // Seconds, by the server's clock: that of the browser may be wrong.
  now() {
    return Date.now() / 1000 + this._ahead;
  }

  setState(state) {
    this.rows = new Map();
    this.history = state.history;
    this.version = state.version;
    this._setHead(state);
    for (const row of state.containers) this._put(row);
  }

  update(update) {
    this._setHead(update);
    for (const row of update.containers) {
      const before = this.rows.get(keyOf(row));
      row.spark = before?.spark ?? [];
      if (row.time !== undefined && row.time !== before?.time && row.state !== "stopped") {
        row.spark = [...row.spark, row.cpu ?? null].slice(-SPARK_SAMPLES);
      }
      this._put(row);
    }
    for (const [host, id] of update.gone) this.rows.delete(keyOf({ host, id }));
  }

  _put(row) {
    row.key = keyOf(row);
    row.at = this.now(); // when it was so
    this.rows.set(row.key, row);
  }

  _setHead(head) {
    this.connected = head.connected;
    this.trouble = head.trouble ?? "";
    this.full = head.full;
    this._ahead = head.time - Date.now() / 1000;
    this.hosts = new Map(head.hosts.map((host) => [host.host, host]));
  }
}
