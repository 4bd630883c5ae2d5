
"use strict";

// The page is whole without this script. All it shows is made as text and elements, never as HTML from text.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element of this kind, with these properties and children. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** The server that gave this page; nothing where it is a file, or stands on a server that is not the services' own. */
function liveServer() {
  const end = "/_schema/docs";
  const path = location.pathname.replace(/\/$/, "");
  if (!location.protocol.startsWith("http") || !path.endsWith(end)) return null;
  return location.origin + path.slice(0, -end.length);
}

// Light and dark.

function setUpTheme() {
  const button = $("#theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    // Files may have no storage.
    try { return localStorage.getItem("theme"); } catch { return null; }
  };
  const chosen = stored();
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  const current = () => document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light");
  const show = () => {
    const other = current() === "dark" ? "light" : "dark";
    button.textContent = other === "dark" ? "Dark" : "Light";
    button.setAttribute("aria-label", `Switch to ${other} colours`);
  };
  button.addEventListener("click", () => {
    const theme = current() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("theme", theme); } catch { /* It holds until the page is left. */ }
    show();
  });
  system.addEventListener("change", show);
  show();
  button.hidden = false;
}

// Search.

function setUpSearch() {
  const input = $("#search");
  const found = $("#found");
  const links = new Map($$("nav a[href]").map((link) => [link.hash.slice(1), link.parentElement]));
  const entries = $$("article[data-search]").map((article) => ({
    article,
    text: article.dataset.search,
    isMethod: article.classList.contains("method"),
    link: links.get(article.id),
    isShown: true,
  }));
  const sections = $$("section.service, #types").map((section) => ({
    section,
    folded: $("details.internal", section),
    entries: entries.filter((entry) => section.contains(entry.article)),
    link: links.get(section.id)?.closest("nav .contents > li"),
  }));

  const search = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const counts = { methods: 0, types: 0 };
    for (const entry of entries) {
      const isShown = words.every((word) => entry.text.includes(word));
      if (isShown) counts[entry.isMethod ? "methods" : "types"] += 1;
      if (isShown === entry.isShown) continue;
      entry.isShown = isShown;
      entry.article.hidden = !isShown;
      if (entry.link) entry.link.hidden = !isShown;
    }
    for (const { section, folded, entries, link } of sections) {
      const isShown = words.length === 0 || entries.some((entry) => entry.isShown);
      // What is found is shown, also in a service that is folded.
      for (const details of [folded, link && $("details.internal", link)]) {
        if (details) details.open = words.length > 0 && isShown;
      }
      section.hidden = !isShown;
      if (link) link.hidden = !isShown;
    }
    $("#errors").hidden = words.length > 0;
    const counted = (count, name) => `${count} ${name}${count === 1 ? "" : "s"}`;
    found.textContent = `${counted(counts.methods, "method")} and ${counted(counts.types, "type")} found`;
    found.hidden = words.length === 0;
  };
  const clear = () => {
    input.value = "";
    search();
  };

  input.addEventListener("input", search);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      clear();
      input.blur();
    } else if (event.key === "Enter") {
      const first = entries.find((entry) => entry.isShown);
      if (first) location.hash = first.article.id;
    }
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest?.("input, textarea, select");
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    input.focus();
    input.select();
  });
  // A link may lead to what the search hides.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    const target = link && document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (target?.closest("[hidden]") || (target?.id === "main" && input.value !== "")) clear();
    unfold(target);
  });
  $(".search").hidden = false;
}

/** Opens the folded service that holds `target`; true if one was closed. */
function unfold(target) {
  const details = target?.closest("details.internal:not([open])");
  if (details) details.open = true;
  return Boolean(details);
}

/** Marks in the contents where the reader is. */
function setUpContents() {
  const details = $("nav > details");
  const narrow = matchMedia("(max-width: 60rem)");
  const fold = () => { details.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
  $("nav").addEventListener("click", (event) => {
    if (narrow.matches && event.target.closest("a")) details.open = false;
  });
  const mark = () => {
    const target = $(":target");
    if (unfold(target)) target.scrollIntoView();
    for (const link of $$("nav a.here")) {
      link.classList.remove("here");
      link.removeAttribute("aria-current");
    }
    const link = $$("nav a[href]").find((link) => link.hash === location.hash && location.hash !== "");
    if (!link) return;
    unfold(link);
    link.classList.add("here");
    link.setAttribute("aria-current", "location");
  };
  addEventListener("hashchange", mark);
  mark();
}

// Copying.

async function copyText(text, node) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without a clipboard to write to, what is to be copied is selected at least.
    const range = document.createRange();
    range.selectNodeContents(node);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    return document.execCommand("copy");
  }
}

function setUpCopying() {
  for (const button of $$("button.copy")) {
    const code = $("code", button.parentElement);
    button.setAttribute("aria-label", "Copy the command line");
    button.addEventListener("click", async () => {
      button.textContent = (await copyText(code.textContent, code)) ? "Copied" : "Selected";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    button.hidden = false;
  }
}

// Calling the server.

/** JSON text with indentation, token by token: numbers stay as they were sent, however many digits they have. */
function indented(json) {
  let out = "";
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  const tokens = json.match(/"(?:[^"\\]|\\.)*"|[^\s"{}[\],:]+|[{}[\],:]/g) ?? [];
  tokens.forEach((token, index) => {
    if (token === "{" || token === "[") {
      const isEmpty = tokens[index + 1] === "}" || tokens[index + 1] === "]";
      depth += 1;
      out += isEmpty ? token : token + line();
    } else if (token === "}" || token === "]") {
      depth -= 1;
      out += tokens[index - 1] === "{" || tokens[index - 1] === "[" ? token : line() + token;
    } else if (token === ",") {
      out += token + line();
    } else {
      out += token === ":" ? ": " : token;
    }
  });
  return out;
}

/** Sends `body` to a method. */
async function send(url, body) {
  const began = performance.now();
  const response = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  const text = await response.text();
  const milliseconds = performance.now() - began;
  let isJson = true;
  try { JSON.parse(text); } catch { isJson = false; }
  return { response, milliseconds, text: isJson ? indented(text) : text };
}

/** What a reply gives as the reason why it refused what was asked for, as JSON; null where it did not. */
function refusal(article, text) {
  const field = article.dataset.refusal;
  if (field === undefined) return null;
  const reason = JSON.parse(text)?.[field] ?? null;
  return reason === null ? null : JSON.stringify(reason);
}

function form(server, article) {
  const { method } = article.dataset;
  const example = $(".message.arguments pre.json", article).textContent;
  const rows = Math.min(Math.max(example.split("\n").length, 3), 16);
  const input = element("textarea", { value: example, rows, spellcheck: false, name: "arguments" });
  const button = element("button", { type: "submit", className: "primary", textContent: "Send" });
  const reset = element("button", { type: "button", textContent: "Reset" });
  const state = element("p", { className: "state" });
  state.setAttribute("role", "status");
  const reply = element("pre", { hidden: true, tabIndex: 0 });
  reply.setAttribute("aria-label", "The answer");

  const say = (className, text, time, body) => {
    state.replaceChildren(element("span", { className, textContent: text }));
    if (time !== undefined) state.append(element("span", { className: "time", textContent: time }));
    reply.textContent = body ?? "";
    reply.hidden = body === undefined;
  };
  const submit = async (event) => {
    event.preventDefault();
    input.removeAttribute("aria-invalid");
    try {
      JSON.parse(input.value);
    } catch (error) {
      input.setAttribute("aria-invalid", "true");
      say("bad", `The arguments are not valid JSON: ${error.message}`);
      return;
    }
    button.disabled = true;
    say("time", "Sending…");
    try {
      const { response, milliseconds, text } = await send(`${server}/${method}`, input.value);
      const status = `${response.status} ${response.statusText}`.trim();
      const time = `${milliseconds.toFixed(1)} ms`;
      const reason = response.ok ? refusal(article, text) : null;
      if (reason === null) {
        say(response.ok ? "good" : "bad", status, time, text);
      } else {
        say("refused", `Refused: ${reason}`, `${status}, ${time}`, text);
      }
    } catch (error) {
      say("bad", `No answer: ${error.message}`);
    }
    button.disabled = false;
  };

  const made = element(
    "form",
    { noValidate: true },
    element("label", {}, "Arguments", input),
    element("div", { className: "actions" }, button, reset, element("span", { className: "hint", textContent: "Ctrl+Enter sends." })),
    element("div", { className: "answer" }, state, reply),
  );
  made.addEventListener("submit", submit);
  reset.addEventListener("click", () => { input.value = example; input.focus(); });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) made.requestSubmit();
  });
  return { made, input };
}

function setUpForms(server) {
  const placeholder = $("pre.shell code")?.textContent.match(/'(https?:\/\/[^/']+)\//)?.[1];
  for (const article of $$("article.method")) {
    const code = $("pre.shell code", article);
    code.textContent = code.textContent.replace(placeholder, server);
    const place = $(".try", article);
    // Internal methods have no form.
    if (!place) continue;
    const open = element("button", { type: "button", textContent: "Try it" });
    open.setAttribute("aria-label", `Try ${article.dataset.method}`);
    open.addEventListener("click", () => {
      const { made, input } = form(server, article);
      open.replaceWith(made);
      input.focus();
    });
    place.append(open);
    place.hidden = false;
  }
  $(".documents").hidden = false;
}

setUpTheme();
setUpSearch();
setUpContents();
setUpCopying();
const server = liveServer();
if (server !== null) setUpForms(server);
