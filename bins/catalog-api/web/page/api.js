// Calls of the API, with the token of whoever looks. The token is kept for this tab only.

// A server that says nothing for so long is taken for gone.
const PATIENCE_MS = 15000;

const KEPT_AS = "token";

export const token = {
  get: () => sessionStorage.getItem(KEPT_AS),
  set: (value) => sessionStorage.setItem(KEPT_AS, value),
  forget: () => sessionStorage.removeItem(KEPT_AS),
};

// What the API refused, in its own words. Status 0: nobody answered.
export class Problem extends Error {
  constructor(status, detail, errors = []) {
    super(detail);
    this.status = status;
    this.errors = errors;
  }
}

// One call. Gives the answer's headers and its JSON (text when it is none); throws a Problem.
export async function call(method, path, { body, type = "application/json", headers = {} } = {}) {
  const sent = { ...headers };
  if (token.get()) sent.Authorization = `Bearer ${token.get()}`;
  if (body !== undefined) sent["Content-Type"] = type;
  let answer, text;
  try {
    answer = await fetch(path, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    text = await answer.text();
  } catch {
    throw new Problem(0, "the server does not answer");
  }
  const isJson = /json/.test(answer.headers.get("Content-Type") ?? "");
  const data = isJson && text ? JSON.parse(text) : text;
  if (!answer.ok) {
    throw new Problem(answer.status, data?.detail ?? (text || answer.statusText), data?.errors);
  }
  return { data, headers: answer.headers };
}

export const get = (path) => call("GET", path);

export const customerPath = (id, ...rest) =>
  ["/customers", encodeURIComponent(id), ...rest].join("/");

// The change is made only if the customer still is at this version.
export const ifAt = (version) => ({ "If-Match": `"${version}"` });

// A query string of what is not empty.
export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

// A key under which a create may safely be repeated. (randomUUID is only there on https.)
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
