// The history of a customer, newest first.

import { customerPath, get, query } from "./api.js";
import { capital, h, keyed, label, when } from "./dom.js";

const STEP = 50;
// The most that the API gives at once; who wants all of a longer history asks the API for NDJSON.
const MOST = 1000;

// Loads versions again only when there is a newer one, or more were asked for.
export class History {
  constructor(id) {
    this.id = id;
    this.versions = [];
    this.wanted = STEP;
    this.loaded = 0;
    this.rows = h("ol", { class: "history" });
    this.older = h("button", { type: "button", hidden: true, onclick: () => this.more() },
      "Show older");
    this.element = h("section", { "aria-labelledby": "history-title" },
      h("h3", { id: "history-title" }, "History"), this.rows, this.older);
  }

  async load(version) {
    const limit = this.wanted;
    if (this.versions[0]?.version === version && this.loaded >= limit) return;
    const path = customerPath(this.id, "history");
    const { data, headers } = await get(path + query({ before: version + 1, limit }));
    this.versions = data;
    this.loaded = limit;
    // There are more if there is a next page.
    this.older.hidden = !headers.has("Link") || limit === MOST;
    keyed(this.rows, this.versions, (it) => it.version, makeVersion);
  }

  more() {
    this.wanted = Math.min(this.wanted * 4, MOST);
    dispatchEvent(new Event("refresh"));
  }

  // The newest version of ours that changed each field and came after `acked`: what a system does
  // not have yet. What it changed itself, it has.
  pending(system, acked) {
    const fields = new Map();
    const theirs = new Set();
    for (const { version, origin, changed } of this.versions) {
      if (version <= acked) break;
      for (const field of changed) {
        if (origin === system) theirs.add(field);
        else if (!theirs.has(field) && !fields.has(field)) fields.set(field, version);
      }
    }
    return fields;
  }
}

const origins = { api: "the API" };

// A version without changes tells the others again what is there, as after a resync.
function makeVersion({ version, origin, at, changed }) {
  const what = changed.map(label).join(", ") || (version === 1 ? "Created" : "Sent again");
  return h("li", {},
    h("span", { class: "version" }, `v${version}`),
    h("span", { class: "what" }, what),
    h("span", { class: "by" }, `by ${origins[origin] ?? capital(origin)}, `, when(at)));
}
