// What asks and what tells: a question, the token, and what came of a push of a button.

import { Problem, token } from "./api.js";
import { $, h, setText } from "./dom.js";

// How long it stands what came of something.
const SAID_MS = 8000;

let silence;

export function say(text, isBad = false) {
  clearTimeout(silence);
  $("said").classList.toggle("bad", isBad);
  setText($("said"), text);
  silence = setTimeout(() => setText($("said"), ""), SAID_MS);
}

// Does something, says what came of it, goes on if it was done, and looks anew.
export async function attempt(work, done, next) {
  try {
    await work();
    say(done);
    next?.();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 401) askToken(problem.message);
    else say(sentence(problem.message), true);
  }
  dispatchEvent(new Event("refresh"));
}

export function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

// A dialog in the middle of everything; it is gone once closed. The browser keeps the focus in it.
export function dialog(title, ...content) {
  const element = h("dialog", { "aria-labelledby": "dialog-title" },
    h("h2", { id: "dialog-title" }, title), ...content);
  element.addEventListener("close", () => element.remove());
  document.body.append(element);
  element.showModal();
  return element;
}

export function confirm(title, text, verb) {
  return new Promise((answer) => {
    const choose = (value) => () => element.close(value);
    const element = dialog(title, h("p", {}, text), h("p", { class: "buttons end" },
      h("button", { type: "button", onclick: choose("") }, "Cancel"),
      h("button", { type: "button", class: "danger", onclick: choose("yes") }, verb)));
    element.addEventListener("close", () => answer(element.returnValue === "yes"));
  });
}

// Asks for the token, and keeps it for this tab.
export function askToken(why) {
  if ($("token")) return;
  const input = h("input", {
    id: "token", type: "password", required: true, autocomplete: "off", "aria-describedby": "why",
  });
  const use = (event) => {
    event.preventDefault();
    token.set(input.value.trim());
    element.close();
    dispatchEvent(new Event("refresh"));
  };
  const element = dialog("This catalog asks for a token", h("form", { onsubmit: use },
    h("p", { id: "why" }, token.get() ? sentence(why) : "Whoever runs the server has it. It is "
      + "kept until this tab is closed, and sent to this server only."),
    h("label", { for: "token" }, "Token"), input,
    h("p", { class: "buttons end" }, h("button", { class: "main" }, "Use it"))));
  // Without one there is nothing to see.
  element.addEventListener("cancel", (event) => event.preventDefault());
}

export const asksToken = () => $("token") !== null;
