// The conflicts of a customer: fields that two people edited without knowing of each other. Both
// values are shown, and the one that lost can be put back.

import { call, customerPath, get, ifAt } from "./api.js";
import { capital, h, keyed, label, setText, shown, when } from "./dom.js";
import { attempt } from "./dialogs.js";

export class Conflicts {
  constructor(id) {
    this.id = id;
    this.version = null;
    this.open = [];
    this.rows = h("ul", { class: "conflicts" });
    this.settled = h("ul", { class: "conflicts settled" });
    this.before = h("details", { ontoggle: () => this.loadSettled() },
      h("summary", {}, "Settled conflicts"), this.settled);
    this.title = h("h3", { id: "conflicts-title" }, "Conflicts");
    this.element = h("section", { "aria-labelledby": "conflicts-title" },
      this.title, this.rows, this.before);
  }

  async load(version) {
    this.version = version;
    const { data } = await get(customerPath(this.id, "conflicts"));
    this.open = data;
    setText(this.title, data.length ? "Conflicts" : "No open conflicts");
    keyed(this.rows, data, (it) => it.id, (it) => this.make(it));
    await this.loadSettled();
  }

  async loadSettled() {
    if (!this.before.open) return;
    const { data } = await get(`${customerPath(this.id, "conflicts")}?settled=true`);
    keyed(this.settled, data, (it) => it.id, (it) => this.make(it));
    if (data.length === 0) this.settled.replaceChildren(h("li", {}, "None."));
  }

  fields() {
    return new Set(this.open.map((conflict) => conflict.field));
  }

  make({ id, system, field, ours, theirs, winner, noted_at, settled_at }) {
    const side = { ours: "the catalog", theirs: capital(system) };
    const loser = winner === "ours" ? "theirs" : "ours";
    const value = { ours: ours.value, theirs: theirs.value };
    const line = (title, whose) => [
      h("dt", {}, `${title}, from ${side[whose]}`),
      h("dd", { class: whose === winner ? "won" : "lost" }, shown(value[whose]))];
    const buttons = h("p", { class: "buttons" },
      h("button", { type: "button", onclick: () => this.settle(id, "restore") },
        `Put back “${brief(value[loser])}”`),
      h("button", { type: "button", class: "plain", onclick: () => this.settle(id, "dismiss") },
        `Keep “${brief(value[winner])}”`));
    return h("li", {},
      h("h4", {}, label(field), " ", h("small", {}, "noted ", when(noted_at))),
      h("dl", {}, line("Kept", winner), line("Lost", loser)),
      settled_at ? h("p", { class: "muted" }, "settled ", when(settled_at)) : buttons);
  }

  async settle(id, verb) {
    const path = customerPath(this.id, "conflicts", id, verb);
    const headers = verb === "restore" ? ifAt(this.version) : {};
    const done = verb === "restore" ? "Put back, and on its way." : "Settled as it is.";
    await attempt(() => call("POST", path, { headers }), done);
    this.title.closest("section").parentElement?.querySelector("h2")?.focus();
  }
}

function brief(value) {
  const text = shown(value);
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}
