// The list: how many stand how, and those that are asked for.

import { get, query } from "./api.js";
import { $, h, keyed, label, set, setText, shown } from "./dom.js";
import { address, go, place } from "./place.js";

// Shown at first, and more of them at each push of the button.
const STEP = 50;
// The most that the API gives at once. Who looks for more narrows the search.
const MOST = 1000;

// What can be shown, and the metric that counts it. The one for those in step counts deleted
// customers too, which no list shows: so that filter has no number.
const FILTERS = [
  ["all", "All", "catalog_customers"],
  ["pending", "Pending", "catalog_sync_pending"],
  ["failed", "Failed", "catalog_sync_failed"],
  ["conflicts", "Conflicts", "catalog_conflicts_open"],
  ["synced", "In step", null],
];

let wanted = STEP;
let said = "";

export function start() {
  $("q").addEventListener("input", () => {
    const show = place.show === "conflicts" ? "all" : place.show;
    go({ q: $("q").value.trim(), show }, { replace: true });
  });
  $("more").addEventListener("click", () => {
    wanted = Math.min(wanted + STEP, MOST);
    dispatchEvent(new Event("refresh"));
  });
  keyed($("filters"), FILTERS, ([show]) => show, ([show, name]) =>
    h("button", { type: "button", onclick: () => go({ show, q: "" }) },
      h("span", {}, name), " ", h("b", { class: "count" })));
}

// After the place has changed: shows it, before anything is loaded.
export function moved() {
  wanted = STEP;
  if (document.activeElement !== $("q")) $("q").value = place.q;
  for (const button of $("filters").children) {
    set(button, "aria-pressed", String(button.dataset.key === place.show));
  }
}

export function mark() {
  for (const link of $("rows").querySelectorAll("a")) {
    set(link, "aria-current", link.dataset.id === place.id ? "true" : null);
    set(link, "href", address({ id: link.dataset.id }));
  }
}

export async function load() {
  await Promise.all([loadCounts(), place.show === "conflicts" ? loadConflicts() : loadRows()]);
}

async function loadCounts() {
  const { data } = await get("/metrics");
  for (const [show, , metric] of FILTERS) {
    const counted = metric && new RegExp(`^${metric} (\\d+)`, "m").exec(data);
    const value = counted?.[1] ?? "";
    const button = $("filters").querySelector(`[data-key="${show}"]`);
    setText(button.querySelector("b"), value && Number(value).toLocaleString());
    set(button, "data-count", value);
  }
}

async function loadRows() {
  const { show, q } = place;
  const sync = show === "all" ? "" : show;
  const { data, headers } = await get(`/customers${query({ limit: wanted, q, sync })}`);
  if (show !== place.show || q !== place.q) return;
  render(data, (customer) => customer.id, makeRow, updateRow, headers.has("Link"));
}

async function loadConflicts() {
  const { data, headers } = await get(`/conflicts${query({ limit: wanted })}`);
  if (place.show !== "conflicts") return;
  const key = (conflict) => `conflict ${conflict.id}`;
  render(data, key, makeRow, updateConflict, headers.has("Link"));
}

function render(items, key, make, update, more) {
  keyed($("rows"), items, key, make, update);
  mark();
  $("more").hidden = !more || wanted >= MOST;
  const none = { all: "No customers yet.", conflicts: "No conflicts are open." };
  const nothing = place.q ? `No customer has “${place.q}” in name or e-mail.` : none[place.show];
  setText($("nothing"), more && wanted >= MOST
    ? `The first ${MOST.toLocaleString()} are shown. Search to see others.`
    : (nothing ?? "No customer stands so."));
  $("nothing").hidden = items.length > 0 && !(more && wanted >= MOST);
  announce(items.length, more);
}

// Told to those who do not see the list, once per search and not at each look.
function announce(count, more) {
  const search = `${place.show} ${place.q}`;
  if (search === said) return;
  said = search;
  setText($("found"), `${count}${more ? " or more" : ""} shown`);
}

function makeRow() {
  return h("li", {}, h("a", {},
    h("span", { class: "who" }), h("span", { class: "badge" }), h("span", { class: "mail" })));
}

function updateRow(row, customer) {
  const { id, name, email, sync } = customer;
  const state = worst(sync);
  fill(row, id, name ?? email ?? id, name ? (email ?? id) : id, state, stateName(state));
}

function updateConflict(row, { customer, field, ours, theirs }) {
  const values = `${shown(ours.value)} / ${shown(theirs.value)}`;
  fill(row, customer, `${label(field)}: ${values}`, customer, "conflict", "Conflict");
}

function fill(row, id, who, mail, state, name) {
  const link = row.firstElementChild;
  set(link, "data-id", id);
  setText(link.querySelector(".who"), who);
  setText(link.querySelector(".mail"), mail);
  const badge = link.querySelector(".badge");
  set(badge, "data-state", state);
  setText(badge, name);
}

// Of several systems the one that most needs a look counts.
export function worst(sync) {
  const all = Object.values(sync);
  const doubt = all.some((system) => system.doubt);
  const states = all.map((system) => system.state);
  const first = ["failed", "pending", "synced"].find((state) => states.includes(state));
  return doubt && first !== "failed" ? "doubt" : (first ?? "synced");
}

export function stateName(state) {
  return { pending: "On its way", failed: "Failed", synced: "In step", doubt: "In doubt" }[state];
}
