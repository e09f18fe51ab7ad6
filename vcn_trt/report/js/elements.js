// The pieces that every view is made of. Text goes in as text alone, so that no name can be anything else, and each
// name stands in a <bdi>, so that its direction is its own.

let report, facts; // what gather.py and run.json say
let members; // Map: a person's number to their tracks, in order of time
const marks = {}; // card(person), track(number): what whoever makes the pages editable adds to each

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  fill(made, attributes, children);
  return made;
}

function drawn(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(made, attributes, children);
  return made;
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) made.style.setProperty(name, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
}

// Elements by what they show: one that shows what it did when a view was last drawn is the same again, as an edit leaves
// most of a page as it was. A view has each key once.
function drawnBefore() {
  let last = new Map(), now = new Map();
  return {
    begin() {
      [last, now] = [now, new Map()];
    },
    element(shows, make) {
      const key = JSON.stringify(shows);
      now.set(key, last.get(key) ?? make());
      return now.get(key);
    },
  };
}

const bdi = (text) => element("bdi", {}, text);
const personOf = (number) => report.people.find((person) => person.number === number);
const nameOf = (number) => personOf(number)?.name ?? "Unknown";
const colours = (person) => (person ? { class: "person-colour", "--plain": person.colour } : { class: "no-one" });

function counted(n, one, many = one + "s") {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

function clock(seconds) {
  return seconds < 60 ? `${seconds.toFixed(1)} s` : elapsed(seconds);
}

function elapsed(seconds) {
  const whole = Math.round(seconds);
  const pad = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  return (hours ? `${hours}:${pad(Math.floor(whole / 60) % 60)}` : `${Math.floor(whole / 60)}`) + `:${pad(whole % 60)}`;
}

function face(source, alt) {
  if (!source) return element("div", { class: "no-face", role: "img", "aria-label": alt }, "no picture");
  return element("img", { src: source, alt, loading: "lazy", decoding: "async" });
}

// A track's picture with where it is from. data-track, data-frame and data-person say to whoever makes it editable
// what it stands for.
function trackFigure(track, { person = false } = {}) {
  const t = report.tracks;
  const video = report.videos[t.video[track]];
  const number = t.person[track];
  const caption = [element("span", {}, t.timecode[track]), element("br"), `${clock(t.seconds[track])}, track ${track}`];
  if (person) {
    const name = number < 0 ? "Unknown" : element("a", { href: `#/person/${number}` }, bdi(nameOf(number)));
    caption.unshift(element("strong", {}, name), element("br"));
    if (report.videos.length > 1) caption.push(element("br"), bdi(video.name));
  }
  const alt = `Track ${track}, ${nameOf(number)}`;
  return element(
    "figure",
    { class: "track", "data-track": track, "data-frame": t.frame[track], "data-person": number },
    face(report.pictures[track], alt),
    element("figcaption", {}, caption),
    marks.track?.(track),
  );
}

function heading(text, ...more) {
  return element("h1", { tabindex: -1 }, text, ...more);
}

function leftOut(n, what) {
  return n ? element("p", { class: "quiet small" }, `${counted(n, what)} more left out here.`) : null;
}
