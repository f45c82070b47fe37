// Live updates, local times and dialogs; see README.md.
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const toggle = (selector, shown) => $$(selector).map((one) => one.hidden = !shown);
const rules = { createHTML: (html) => html };
const policy = window.trustedTypes?.createPolicy("postscan", rules) ?? rules;
const parse = (html) => new DOMParser().parseFromString(policy.createHTML(html), "text/html").body;

const clock = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "medium" });
const local = (root) => {
  for (const time of $$("time[datetime]", root)) {
    time.title = time.textContent;
    time.textContent = clock.format(new Date(time.dateTime));
  }
};

let said = new Map();
const tell = () => {
  const now = new Map($$("[data-said]").map((one) => [one.id, one.dataset.said]));
  for (const [id, text] of now) if ((said.get(id) ?? text) !== text) $("#said").textContent = text;
  said = now;
};

const show = (html) => {
  const next = parse(html).firstElementChild;
  const now = next && document.getElementById(next.id);
  if (!now) return;
  local(next);
  const old = $$("tr[id]", now), ids = $$("tr[id]", next).map((row) => row.id);
  const kept = "keep" in now.dataset && old.filter((row) => ids.includes(row.id));
  const moves = (node) => !(kept && node.matches?.("tr[id]"));
  Idiomorph.morph(now, next, { callbacks: {
    beforeNodeAdded: moves,
    beforeNodeRemoved: moves,
    beforeNodeMorphed: (node) => !node.matches?.("input, select, textarea"),
    beforeAttributeUpdated: (name, node) => name !== "open" || !node.matches("details"),
  } });
  if (kept) {
    for (const row of old.slice(0, old.indexOf(kept.at(-1)) + 1)) row.classList.toggle("gone", !kept.includes(row));
    const fresh = old[0] && (kept[0] ? ids.indexOf(kept[0].id) : ids.length);
    $("#fresh b").textContent = fresh;
    toggle("#fresh", fresh);
  }
  tell();
};

const url = $("[data-live]")?.dataset.live;
let source, timer, last, failed, paused = false, polls = 0;
const heard = () => { last = Date.now(); failed = 0; };
const stop = () => { source?.close(); clearTimeout(timer); };
const poll = async () => {
  try {
    const reply = await fetch(url.replace("?", "/newest?"));
    if (reply.redirected) return toggle("#ended", true);
    for (const html of await reply.json()) show(html);
    heard();
  } catch { failed ||= 1; }
  if (!paused && !document.hidden) timer = setTimeout(++polls % 12 ? poll : start, 5000);
};
const start = () => {
  stop();
  heard();
  if (paused || document.hidden) return;
  source = new EventSource(url);
  source.onopen = heard;
  source.onmessage = (event) => { heard(); show(JSON.parse(event.data)); };
  source.onerror = () => {
    if (source.readyState === 2) timer = setTimeout(poll, 5000);
    else failed ||= Date.now();
  };
};

local(document);
tell();
if (url) {
  toggle("#pause", true);
  setInterval(() => toggle("#lost", !paused && Date.now() > (failed ? failed + 4000 : last + 40000)), 1000);
  $("#pause")?.addEventListener("click", (event) => {
    event.target.ariaPressed = paused = !paused;
    start();
  });
  document.addEventListener("visibilitychange", start);
  addEventListener("pagehide", stop);
  addEventListener("pageshow", start);
}

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-dialog], dialog a[data-back]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if ("back" in link.dataset) return link.closest("dialog").close();
  try {
    const reply = await fetch(link.href);
    const main = $("main", parse(await reply.text()));
    if (!reply.ok || reply.redirected) throw main;
    local(main);
    const dialog = document.createElement("dialog");
    dialog.ariaLabel = $("h1", main).textContent;
    dialog.append(...main.childNodes);
    dialog.onclose = () => dialog.remove();
    document.body.append(dialog);
    dialog.showModal();
  } catch { location.assign(link.href); }
});
