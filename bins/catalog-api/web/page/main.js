// The page: where one is, and looking at it again and again while somebody looks.

import { Problem, get, token } from "./api.js";
import * as customer from "./customer.js";
import { askToken, asksToken, sentence } from "./dialogs.js";
import { $, setText } from "./dom.js";
import { create } from "./form.js";
import * as list from "./list.js";
import { read } from "./place.js";

// What is shown is looked at again after so long, or after this many times what a look took.
const LOOK_AGAIN_MS = 2000;
const REST = 4;
// Whether changes get on their way is asked at every so many looks.
const READY_EVERY = 5;

let looking = false;
let again = false;
let timer;
let looks = 0;

// Looks once, never twice at a time; whoever asks meanwhile gets a look of their own.
async function look() {
  if (looking) {
    again = true;
    return;
  }
  clearTimeout(timer);
  if (document.hidden) return tell("Paused", "paused");
  looking = true;
  const begun = performance.now();
  try {
    const ready = looks++ % READY_EVERY === 0 ? loadReady() : null;
    await Promise.all([list.load(), customer.load(), ready]);
    tell("Live", "live");
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 401) askToken(problem.message);
    tell(sentence(problem.message), "away");
  } finally {
    looking = false;
    $("sign-out").hidden = !token.get();
    const wait = Math.max(LOOK_AGAIN_MS, REST * (performance.now() - begun));
    if (again) [again, timer] = [false, setTimeout(look, 0)];
    else if (!asksToken()) timer = setTimeout(look, wait);
  }
}

async function loadReady() {
  let why = "";
  try {
    await get("/readyz");
  } catch (problem) {
    if (problem.status !== 503) throw problem;
    why = `Changes are kept, and do not get on their way yet (${problem.message.trim()}).`;
  }
  setText($("not-ready"), why);
  $("not-ready").hidden = !why;
}

function tell(text, state) {
  setText($("live"), text);
  $("live").dataset.state = state;
}

function moved() {
  read();
  list.moved();
  customer.moved();
  list.mark();
  look();
}

list.start();
addEventListener("hashchange", moved);
addEventListener("refresh", look);
document.addEventListener("visibilitychange", look);
$("new").addEventListener("click", create);
$("skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("customers").focus();
});
$("sign-out").addEventListener("click", () => {
  token.forget();
  location.reload();
});
moved();
