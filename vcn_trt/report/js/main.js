// Which view is shown (the part after #), the head of the page, and the keys.

const VIEWS = {
  cast: ["Cast", castView, () => report.people.length],
  timeline: ["Timeline", timelineView],
  checks: ["Checks", checksView, () => report.checks.together.length + report.checks.bridges.length || ""],
  unknown: ["Unknown", unknownView, () => report.unknown.reduce((sum, group) => sum + group.tracks.length, 0) || ""],
  map: ["Map", mapView],
  run: ["Run", runView, () => facts.warnings.length + facts.failed.length || ""],
};

const KEYS = [
  ["1 to 6", "the pages"],
  ["/", "find a person"],
  ["Arrows", "from card to card"],
  ["Enter", "open a person"],
  ["← →", "on a person's page: the one before, the next"],
  ["Esc", "back to the cast"],
  ["?", "these keys"],
];

// Shows what it is given, the same page again where there was one: the report its own data, a server whatever it sends.
function take(data, run) {
  report = data;
  facts = run;
  members = new Map(report.people.map((person) => [person.number, []]));
  report.tracks.person.forEach((number, track) => members.get(number)?.push(track));
  show(false);
}

function show(moved) {
  const [, name = "cast", argument] = location.hash.split("/");
  const onPerson = name === "person";
  const view = onPerson ? () => personView(Number(argument)) : (VIEWS[name] ?? VIEWS.cast)[1];
  const came = document.querySelector("#view > .person")?.dataset.person;
  unpeek();
  head(onPerson || !VIEWS[name] ? "cast" : name);
  document.getElementById("view").replaceChildren(...view().flat(Infinity).filter(Boolean));
  document.dispatchEvent(new Event("shown"));
  if (!moved) return;
  const back = name === "cast" && came && document.querySelector(`.card[data-person="${came}"]`);
  window.scrollTo(0, 0);
  (back || document.querySelector("#view h1")).focus({ preventScroll: !back });
}

function head(current) {
  const links = Object.entries(VIEWS).map(([name, [title, , count]]) => {
    const n = count?.() ?? "";
    const number = n === "" ? null : element("span", { class: "count" }, n.toLocaleString("en"));
    return element("a", { href: `#/${name}`, "aria-current": name === current && "page" }, title, number);
  });
  const videos = report.videos.map((v) => v.name);
  const more = videos.length > 1 ? ` and ${counted(videos.length - 1, "more", "more")}` : "";
  const production = element("div", { class: "production", title: videos.slice(0, 20).join("\n") }, bdi(videos[0] ?? ""), more);
  const keys = element("button", { id: "keys", type: "button", onclick: showKeys }, "Keys ", element("kbd", {}, "?"));
  document.getElementById("top").replaceChildren(element("div", {}, production, element("nav", { "aria-label": "Pages" }, links), keys));
  document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const person = document.querySelector("#view > .person");
  const page = Object.keys(VIEWS)[Number(event.key) - 1];
  if (page) location.hash = `#/${page}`;
  else if (event.key === "/") find(event);
  else if (event.key === "?") showKeys();
  else if (event.key === "Escape") location.hash = "#/cast";
  else if (person && event.key === "ArrowLeft") document.getElementById("previous")?.click();
  else if (person && event.key === "ArrowRight") document.getElementById("next")?.click();
  else if (/^(Arrow|Home|End)/.test(event.key)) moveAmongCards(event);
}

function find(event) {
  event.preventDefault();
  if (!document.getElementById("search")) {
    history.pushState(null, "", "#/cast");
    show(false);
  }
  document.getElementById("search")?.select();
}

function showKeys() {
  const rows = KEYS.flatMap(([key, text]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, text)]);
  const dialog = element(
    "dialog",
    { "aria-label": "Keys", onclose: (event) => event.target.remove() },
    element("h3", {}, "Keys"),
    element("dl", {}, rows),
    element("form", { method: "dialog" }, element("button", { autofocus: true }, "Close")),
  );
  document.body.append(dialog);
  dialog.showModal();
}

const embedded = (id) => JSON.parse(document.getElementById(id).textContent);
window.addEventListener("hashchange", () => report && show(true));
document.addEventListener("keydown", (event) => report && pressed(event));
if (document.getElementById("data")) take(embedded("data"), embedded("run"));
