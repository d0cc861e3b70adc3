// Elements made and changed without ever parsing text as HTML: whatever a customer's name holds
// stays text. What did not change is not touched, so focus, selection and scroll stay.

// h("p", {class: "x", onclick: f}, "text", child): an element. Values that are null are left out.
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) set(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function set(element, name, value) {
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const $ = (id) => document.getElementById(id);

// Makes the parent's children those of the items, by key: kept ones are updated in place.
export function keyed(parent, items, keyOf, make, update) {
  const focused = document.activeElement;
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = old.get(key);
    old.delete(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
    }
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
    update?.(child, item);
  }
  for (const child of old.values()) child.remove();
  // An element that moved lost its focus.
  if (focused?.isConnected && parent.contains(focused)) focused.focus({ preventScroll: true });
}

const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const units = [["day", 86400], ["hour", 3600], ["minute", 60]];

// An element that says when, in words that age; the exact time is its title.
export function when(at) {
  return setWhen(h("time"), at);
}

export function setWhen(element, at) {
  const time = new Date(at);
  set(element, "datetime", at);
  set(element, "title", absolute.format(time));
  setText(element, words(time));
  return element;
}

function words(time) {
  const seconds = (Date.now() - time) / 1000;
  if (seconds > 7 * 86400) return absolute.format(time);
  for (const [unit, length] of units) {
    if (seconds >= length) return relative.format(-Math.floor(seconds / length), unit);
  }
  return "just now";
}

// A field's value, for people.
export function shown(value) {
  if (value === null || value === undefined || value === "") return "(empty)";
  if (typeof value !== "object") return String(value);
  const parts = ["line1", "line2", "postal_code", "city", "state", "country"];
  return parts.map((part) => value[part]).filter(Boolean).join(", ") || "(empty)";
}

const labels = {
  name: "Name", email: "E-mail", phone: "Phone", description: "Description", address: "Address",
};

export function label(field) {
  return labels[field] ?? field.replace(/^metadata\./, "");
}

export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
