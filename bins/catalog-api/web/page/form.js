// The form of a customer, new or known. Of a known one only what was changed is sent, and only if
// nobody changed it in between. Browsers normalise what an input holds (line ends, blanks around an
// e-mail), so changed is what differs from what the input held when it was filled.

import { Problem, call, customerPath, get, ifAt, newKey } from "./api.js";
import { askToken, dialog, say, sentence } from "./dialogs.js";
import { h, label, set, setText } from "./dom.js";
import { go } from "./place.js";

const TEXTS = [
  ["name", "text", 256], ["email", "email", 512], ["phone", "tel", 20],
  ["description", "area", 5000],
];
const PARTS = [
  ["line1", "Line 1"], ["line2", "Line 2"], ["postal_code", "Postal code"], ["city", "City"],
  ["state", "State"], ["country", "Country"],
];

export const create = () => new Form(null);
export const edit = (customer) => new Form(customer);

class Form {
  constructor(customer) {
    this.before = customer;
    this.version = customer?.version;
    this.inputs = new Map();
    this.pairs = h("div", { class: "pairs" });
    this.rows = new WeakMap();
    this.wrong = h("p", { class: "wrong", role: "alert", id: "form-wrong" });
    this.save = h("button", { class: "main" }, customer ? "Save" : "Create");
    for (const [key, value] of Object.entries(customer?.metadata ?? {})) this.addPair(key, value);
    const form = h("form", { novalidate: true, onsubmit: (event) => this.submit(event) },
      TEXTS.map(([name, type, max]) => this.input(name, label(name), type, max, customer?.[name])),
      h("fieldset", {}, h("legend", {}, "Address"), PARTS.map(([part, text]) =>
        this.input(`address.${part}`, text, "text", 5000, customer?.address?.[part]))),
      h("fieldset", {}, h("legend", {}, "Metadata"), this.pairs, h("button",
        { type: "button", onclick: () => this.addPair("", "").focus() }, "Add a key")),
      this.wrong,
      h("p", { class: "buttons end" },
        h("button", { type: "button", onclick: () => this.dialog.close() }, "Cancel"), this.save));
    this.dialog = dialog(customer ? "Edit customer" : "New customer", form);
  }

  input(name, text, type, max, value) {
    const id = `field-${name}`;
    const input = h(type === "area" ? "textarea" : "input", {
      id, name, type: type === "area" ? null : type, maxlength: max, autocomplete: "off",
      "aria-describedby": `${id}-wrong`,
    });
    input.value = value ?? "";
    const before = { shown: input.value, stored: value ?? null };
    const wrong = h("p", { class: "wrong", id: `${id}-wrong` });
    this.inputs.set(name, { input, wrong, before });
    return h("div", { class: "field" }, h("label", { for: id }, text), input, wrong);
  }

  addPair(key, value) {
    const name = h("input", { "aria-label": "Key", maxlength: 40, autocomplete: "off" });
    const text = h("input", { "aria-label": "Value", maxlength: 500, autocomplete: "off" });
    [name.value, text.value] = [key, value];
    const remove = h("button", { type: "button", class: "plain", "aria-label": "Remove this key",
      onclick: () => row.remove() }, "✕");
    const row = h("div", { class: "pair" }, name, text, remove);
    this.rows.set(row, { name, text, before: { name: name.value, text: text.value, key, value } });
    this.pairs.append(row);
    return name;
  }

  value(name) {
    const { input, before } = this.inputs.get(name);
    return input.value === before.shown ? before.stored : input.value || null;
  }

  // Keys and values, those untouched as they are stored.
  metadata() {
    const pairs = [...this.pairs.children].map((row) => {
      const { name, text, before } = this.rows.get(row);
      if (name.value !== before.name) return [name.value, text.value];
      return [before.key, text.value === before.text ? before.value : text.value];
    });
    return pairs.filter(([key, value]) => key || value);
  }

  // A key that two rows have: only one of their values could be sent.
  twice() {
    const keys = this.metadata().map(([key]) => key);
    return keys.find((key, n) => keys.indexOf(key) !== n);
  }

  // What differs from the customer as the form was opened; null if nothing does.
  changes() {
    const before = this.before ?? { metadata: {} };
    const patch = {};
    for (const [name] of TEXTS) {
      if (this.value(name) !== (before[name] ?? null)) patch[name] = this.value(name);
    }
    for (const [part] of PARTS) {
      const value = this.value(`address.${part}`);
      if (value !== (before.address?.[part] ?? null)) (patch.address ??= {})[part] = value;
    }
    const after = Object.fromEntries(this.metadata());
    for (const key of new Set([...Object.keys(before.metadata), ...Object.keys(after)])) {
      const value = after[key] || null;
      if (value !== (before.metadata[key] ?? null)) (patch.metadata ??= {})[key] = value;
    }
    return Object.keys(patch).length ? patch : null;
  }

  async submit(event) {
    event.preventDefault();
    if (this.save.disabled) return;
    this.clear();
    const twice = this.twice();
    if (twice !== undefined) {
      return setText(this.wrong, `Two rows of metadata have the key “${twice}”. Keep one of them.`);
    }
    const changes = this.changes();
    if (this.before && !changes) return this.dialog.close();
    this.save.disabled = true;
    try {
      const { data } = await this.send(changes ?? {});
      this.dialog.close();
      say(this.before ? "Saved, and on its way." : "Created, and on its way.");
      if (!this.before) go({ id: data.id });
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      await this.refused(problem);
    } finally {
      this.save.disabled = false;
      dispatchEvent(new Event("refresh"));
    }
  }

  send(body) {
    if (this.before) {
      const type = "application/merge-patch+json";
      return call("PATCH", customerPath(this.before.id),
        { body, type, headers: ifAt(this.version) });
    }
    // A repeat of the very same body is the same request; another body is another one.
    const text = JSON.stringify(body);
    if (text !== this.sent) [this.sent, this.key] = [text, newKey()];
    return call("POST", "/customers", { body, headers: { "Idempotency-Key": this.key } });
  }

  async refused(problem) {
    if (problem.status === 401) return askToken(problem.message);
    if (problem.status === 412) return this.raced();
    const others = [];
    let first = null;
    for (const { field, message } of problem.errors ?? []) {
      const known = this.inputs.get(field);
      if (!known) others.push(`${label(field)} ${message}`);
      else {
        setText(known.wrong, sentence(message));
        set(known.input, "aria-invalid", "true");
        first ??= known.input;
      }
    }
    if (!first && !others.length) others.push(problem.message);
    setText(this.wrong, others.map(sentence).join(" "));
    first?.focus();
  }

  // Somebody else changed it while the form was open: says what, and lets it be saved on top.
  async raced() {
    try {
      const { data } = await get(customerPath(this.before.id));
      const theirs = [...TEXTS.map(([name]) => name), "address", "metadata"].filter((name) =>
        JSON.stringify(data[name]) !== JSON.stringify(this.before[name]));
      this.version = data.version;
      setText(this.wrong, `Somebody changed ${theirs.map(label).join(", ") || "it"} in between. `
        + "Save again to put your changes on top, or cancel to see theirs.");
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      setText(this.wrong, sentence(problem.message));
    }
  }

  clear() {
    setText(this.wrong, "");
    for (const { input, wrong } of this.inputs.values()) {
      set(input, "aria-invalid", null);
      setText(wrong, "");
    }
  }
}
