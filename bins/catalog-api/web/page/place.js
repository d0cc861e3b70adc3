// Where one is: what the list shows, and which customer is open. It stands in the address, so that
// it can be shared, and survives a reload.

export const place = { show: "all", q: "", id: null };

// Reads the address. An anchor of the page itself is none of its business.
export function read() {
  const hash = location.hash || "#/";
  if (!hash.startsWith("#/")) return;
  const [path, parameters] = hash.slice(2).split("?");
  const given = new URLSearchParams(parameters);
  place.id = path ? decode(path) : null;
  place.show = given.get("show") ?? "all";
  place.q = given.get("q") ?? "";
}

// The address of the same place with some of it changed.
export function address(change) {
  const { show, q, id } = { ...place, ...change };
  const given = new URLSearchParams();
  if (show !== "all") given.set("show", show);
  if (q) given.set("q", q);
  const parameters = given.size ? `?${given}` : "";
  return `#/${id === null ? "" : encodeURIComponent(id)}${parameters}`;
}

// Goes there. Typing does not fill the history of the browser.
export function go(change, { replace = false } = {}) {
  const to = address(change);
  if (replace) {
    history.replaceState(null, "", to);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = to;
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
