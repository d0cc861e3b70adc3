// One customer: how each side stands, its fields, its conflicts, its history. It is built once and
// then changed in place.

import { Problem, call, customerPath, get, ifAt } from "./api.js";
import { Conflicts } from "./conflicts.js";
import { attempt, confirm } from "./dialogs.js";
import { $, capital, h, keyed, label, set, setText, setWhen, shown } from "./dom.js";
import { edit } from "./form.js";
import { History } from "./history.js";
import { stateName, worst } from "./list.js";
import { address, go, place } from "./place.js";

const TITLE = document.title;

let open = null;

// Shows the customer of the place: a frame at once, and what is in it when it is loaded.
export function moved() {
  document.body.classList.toggle("one", place.id !== null);
  if (place.id === (open?.id ?? null)) return;
  const before = open?.id;
  open = place.id === null ? null : new Customer(place.id);
  document.title = TITLE;
  $("detail").replaceChildren(open?.element ?? h("p", { class: "nothing" },
    "Choose a customer to see how both sides stand."));
  // On a phone the list makes room for the customer, and the focus goes with them.
  if (open && !$("customers").checkVisibility()) open.name.focus();
  else if (before && !open) $("rows").querySelector(`[data-id="${CSS.escape(before)}"]`)?.focus();
}

export async function load() {
  if (!open) return;
  const one = open;
  try {
    await one.load();
  } catch (problem) {
    if (!(problem instanceof Problem) || problem.status !== 404) throw problem;
    if (one === open) one.isGone();
  }
}

class Customer {
  constructor(id) {
    this.id = id;
    this.shown = null;
    this.name = h("h2", { tabindex: "-1" }, id);
    this.sides = h("ul", { class: "sides", "aria-label": "How each side stands" });
    this.fields = h("tbody");
    this.columns = h("tr");
    this.history = new History(id);
    this.conflicts = new Conflicts(id);
    this.buttons = h("p", { class: "buttons" },
      h("button", { type: "button", onclick: () => edit(this.shown) }, "Edit"),
      h("button", { type: "button", onclick: () => this.resync() }, "Resync"),
      h("button", { type: "button", class: "danger", onclick: () => this.remove() }, "Delete"));
    this.back = h("a", { class: "back", href: address({ id: null }) }, "All customers");
    this.body = h("div", { hidden: true }, this.buttons, this.sides,
      h("table", { class: "fields" }, h("thead", {}, this.columns), this.fields),
      this.conflicts.element, this.history.element);
    this.element = h("article", {}, this.back, this.name, this.body);
  }

  async load() {
    const { data } = await get(customerPath(this.id));
    await Promise.all([this.history.load(data.version), this.conflicts.load(data.version)]);
    if (place.id !== this.id) return;
    this.show(data);
  }

  show(customer) {
    this.shown = customer;
    set(this.back, "href", address({ id: null }));
    setText(this.name, customer.name ?? customer.email ?? customer.id);
    document.title = `${this.name.textContent} · ${TITLE}`;
    const systems = Object.entries(customer.sync);
    keyed(this.sides, [["catalog", null], ...systems], ([name]) => name, makeSide,
      (side, [name, sync]) => (sync ? this.system(side, name, sync) : this.catalog(side)));
    const columns = ["Field", "Catalog", ...systems.map(([name]) => capital(name))];
    keyed(this.columns, columns, (it) => it, (it) => h("th", { scope: "col" }, it));
    const pending = systems.map(([name, sync]) =>
      this.history.pending(name, sync.state === "synced" ? Infinity : sync.version));
    keyed(this.fields, rows(customer), ([field]) => field, makeField, (row, [field, value]) => {
      setText(row.children[1], shown(value));
      row.children[1].classList.toggle("none", !value);
      systems.forEach(([, sync], n) => this.cell(row, n + 2, field, sync, pending[n].get(field)));
    });
    this.body.hidden = false;
  }

  catalog(side) {
    const { version, updated_at, id } = this.shown;
    fill(side, "Catalog", `version ${version}`, "ours", `Changed `, updated_at, [id]);
  }

  system(side, name, sync) {
    const state = worst({ [name]: sync });
    fill(side, capital(name), stateName(state), state, "", null, [
      sync.id ?? "Not there yet.",
      sync.state === "synced" ? "It has all changes."
        : sync.version ? `It has changes up to version ${sync.version}.` : null,
      sync.error && `Refused: ${sync.error}`,
      ...Object.entries(sync.refused).map(([field, why]) => `${label(field)} refused: ${why}`),
      sync.doubt && `In doubt since ${new Date(sync.doubt).toLocaleString()}: what it has is not `
        + "known until it is seen again.",
    ]);
  }

  // How a system stands with one field.
  cell(row, n, field, sync, version) {
    const cell = row.children[n] ?? row.appendChild(h("td"));
    const why = sync.refused[field];
    const state = why ? "failed"
      : this.conflicts.fields().has(field) ? "conflict"
      : version && sync.error ? "failed"
      : version ? "pending" : "synced";
    set(cell, "data-state", state);
    setText(cell, {
      failed: why ? `refused: ${why}` : `v${version} refused`,
      conflict: "conflict, see below", pending: `v${version} on its way`, synced: "same",
    }[state]);
  }

  isGone() {
    this.body.hidden = true;
    setText(this.name, `${this.shown?.name ?? this.id} is not here, or was deleted`);
  }

  async resync() {
    const path = customerPath(this.id, "resync");
    await attempt(() => call("POST", path), "What is pending is announced again.");
  }

  async remove() {
    const { id, version } = this.shown;
    const who = this.name.textContent;
    const text = "It is deleted here, and at Stripe too unless this catalog keeps deletions to "
      + "itself. Nothing brings it back.";
    if (!(await confirm(`Delete ${who}?`, text, "Delete"))) return;
    const headers = ifAt(version);
    const leave = () => go({ id: null }, { replace: true });
    await attempt(() => call("DELETE", customerPath(id), { headers }), "Deleted.", leave);
  }
}

function rows(customer) {
  const texts = ["name", "email", "phone", "description", "address"];
  const metadata = Object.entries(customer.metadata);
  return [...texts.map((field) => [field, customer[field]]),
    ...metadata.map(([key, value]) => [`metadata.${key}`, value])];
}

function makeField([field]) {
  const metadata = field.startsWith("metadata.");
  return h("tr", {},
    h("th", { scope: "row" }, label(field), metadata ? h("small", {}, " metadata") : null),
    h("td", { class: "value" }));
}

function makeSide() {
  return h("li", {}, h("h3"), h("span", { class: "badge" }), h("ul"));
}

function fill(side, title, badge, state, before, at, lines) {
  const [name, mark, list] = side.children;
  setText(name, title);
  setText(mark, badge);
  set(mark, "data-state", state);
  const items = lines.filter(Boolean).map((text, n) => ({ key: `line ${n}`, text }));
  if (at) items.push({ key: "at", text: before, at });
  keyed(list, items, (it) => it.key, () => h("li", {}, h("span"), h("time")), (line, it) => {
    setText(line.firstChild, it.text);
    if (it.at) setWhen(line.lastChild, it.at);
  });
}
