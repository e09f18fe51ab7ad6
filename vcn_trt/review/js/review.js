// The pages of the report, made editable: what is added to each, the keys, and the beginning.

KEYS[0][0] = `1 to ${Object.keys(VIEWS).length}`;
KEYS.push(
  ["x", "pick the card or the picture that has the focus, and again to leave it; with a click and Shift all up to there"],
  ["m", "merge the people that are picked; move the tracks"],
  ["n", "name the person whose page it is"],
  ["s r f", "split tracks off; not this person; not a face"],
  ["d", "the two people that are picked are two"],
  ["y n s", "same person? yes, no, skip"],
  ["u U", "undo, redo"],
);

function press(id) {
  const found = document.querySelector(id);
  if (!found || found.disabled) return false;
  found.click();
  return true;
}

const ACTIONS = { m: "merge", d: "different", s: "split", r: "not-them", f: "no-face" };

function reviewKeys(event) {
  const control = event.ctrlKey || event.metaKey;
  if (!review || event.altKey || (control && event.key.toLowerCase() !== "z")) return;
  const inDialog = document.querySelector("dialog[open]");
  if (inDialog) return void (event.key === "p" && !event.target.matches("[type=text], [type=search]") && press("#play"));
  if (event.target.matches("[type=text], [type=search], select, textarea")) return;
  if (doKey(event.key, control, event.shiftKey)) {
    event.preventDefault();
    event.stopPropagation();
  }
}

// -> whether the key did something
function doKey(key, control, shift) {
  if (control) return press(shift ? "#redo" : "#undo");
  const same = location.hash === "#/same";
  const person = document.querySelector("#view > .person");
  if (key === "u" || key === "U") return press(key === "u" ? "#undo" : "#redo");
  if (same && "yns".includes(key)) return press({ y: "#yes", n: "#no", s: "#skip" }[key]);
  if (key === "Escape" && picked.size) return unpick(), true;
  if (key === "x") return pickFocused();
  if (key === "n" && person) return press("#name");
  if (key === "m" && !onCast() && picked.size) return press("[data-action=move]");
  if (key === "m" && person) return press("#merge-with");
  return key in ACTIONS && press(`[data-action=${ACTIONS[key]}]`);
}

function pickFocused() {
  const box = document.activeElement?.closest("#view li, #view .track")?.querySelector(".pick");
  if (!box || box.disabled) return false;
  box.click();
  return true;
}

let shownAt = location.hash;

function shown() {
  if (!review) return;
  if (shownAt !== location.hash) {
    const person = (hash) => hash.startsWith("#/person/");
    if (!(person(shownAt) && person(location.hash) && busy)) unpick(); // nothing unseen stays picked
    shownAt = location.hash;
    said = busy ? said : "";
  }
  tick(); // a card or picture that is as it was is the same one
  const locked = Boolean(review.read_only);
  const person = document.querySelector("#view > .person");
  if (person) {
    const number = Number(person.dataset.person);
    person.lastElementChild.append(element("p", { class: "choices" },
      button(["Name", element("kbd", {}, "n")], () => rename(number), { id: "name", "data-key": "name", disabled: locked }),
      button(["Merge with…", element("kbd", {}, "m")], () => mergeWith(number), { id: "merge-with", "data-key": "merge-with", disabled: locked })));
  }
  if (locked) {
    const why = `This run is read-only (${review.read_only}): look at everything, but no correction can be kept.`;
    document.getElementById("view").prepend(element("p", { class: "notice", id: "read-only" }, why));
  }
  desk();
}

// The map takes seconds: it is made where it is looked at.
const [mapTitle, drawMap] = VIEWS.map;
let mapping = false;
VIEWS.map = [mapTitle, () => {
  if (report.map) return drawMap();
  if (!mapping) {
    mapping = true;
    ask("map").then((found) => {
      report.map = found;
      if (location.hash === "#/map") show(false);
    }, complain).finally(() => (mapping = false));
  }
  return [heading("Embedding map"), element("p", { class: "quiet", role: "status" }, "Laying out the tracks takes some seconds…")];
}];

async function begin() {
  const found = await ask("data");
  review = found.review;
  document.title = `Review: ${found.data.videos.map((v) => v.name).slice(0, 3).join(", ")}`;
  take(found.data, found.run);
  setInterval(look, EVERY);
  document.addEventListener("visibilitychange", look);
}

document.addEventListener("shown", shown);
document.addEventListener("keydown", reviewKeys, true);
begin().catch((error) => document.getElementById("view").append(element("p", { class: "notice" }, error.message)));
