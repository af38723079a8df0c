// The stream of the server: made again by itself, for ever, whenever it ends or is silent.

const SILENCE_SECONDS = 6; // the server says something once a second
const RETRY_SECONDS = 2;
const REASONS = { 401: "the password is needed: reload the page", 503: "it has as many viewers as it takes" };

export class Connection {
  // handlers: state(data), update(data), lost(reason)
  constructor(path, handlers) {
    this._path = path;
    this._handlers = handlers;
    this._open();
  }

  _open() {
    clearTimeout(this._timer);
    this._source?.close();
    const source = new EventSource(this._path);
    this._source = source;
    for (const name of ["state", "update"]) {
      source.addEventListener(name, (event) => {
        if (source !== this._source) return;
        this._expect();
        this._handlers[name](JSON.parse(event.data));
      });
    }
    source.addEventListener("error", () => source === this._source && this._lost());
    this._expect();
  }

  _expect() {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._lost(), 1000 * SILENCE_SECONDS);
  }

  async _lost() {
    clearTimeout(this._timer);
    this._source.close();
    this._source = undefined;
    this._handlers.lost("");
    this._timer = setTimeout(() => this._open(), 1000 * RETRY_SECONDS);
    try {
      // A server that hangs would keep the request, and a browser has few connections to one server.
      const answer = await fetch(this._path, { method: "HEAD", signal: AbortSignal.timeout(1000 * SILENCE_SECONDS) });
      if (!answer.ok && this._source === undefined) this._handlers.lost(REASONS[answer.status] ?? `it answers ${answer.status}`);
    } catch {
      // It does not answer: that is what has been said.
    }
  }
}
