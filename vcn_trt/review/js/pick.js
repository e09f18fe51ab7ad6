// What is picked: people on the cast, pictures on any other page; and the bar below, which says what can be done with them.

const picked = new Set(); // tracks; a person by the first of theirs, since numbers change
let lastPicked = null;
let said = "";

marks.card = (person) => pickBox(members.get(person.number)[0], person.name);
marks.track = (track) =>
  element(
    "div",
    { class: "marks" },
    pickBox(track, `track ${track}`),
    button("Look", () => preview(track), { class: "look", "aria-label": `Look at track ${track} in the video`, "data-key": `look-${track}` }),
  );

function pickBox(track, name) {
  const press = (event) => {
    pick(track, event.target.checked, event.shiftKey);
    desk();
  };
  return element("input", {
    type: "checkbox", class: "pick", "aria-label": `Pick ${name}`, title: "Pick (x)", "data-pick": track, "data-key": `pick-${track}`,
    checked: picked.has(track), disabled: Boolean(review.read_only), onclick: press,
  });
}

// With the shift key everything between the last one and this one, as the page has them.
function pick(track, on, between) {
  const boxes = [...document.querySelectorAll("#view .pick")];
  const at = (t) => boxes.findIndex((box) => Number(box.dataset.pick) === t);
  const [from, to] = [at(between && lastPicked !== null ? lastPicked : track), at(track)].sort((a, b) => a - b);
  for (const box of boxes.slice(Math.max(0, from), to + 1)) {
    const own = Number(box.dataset.pick);
    on ? picked.add(own) : picked.delete(own);
  }
  tick();
  lastPicked = track;
}

function unpick() {
  picked.clear();
  lastPicked = null;
  tick();
  desk();
}

// The boxes as what is picked has them.
function tick() {
  for (const box of document.querySelectorAll("#view .pick")) {
    box.checked = picked.has(Number(box.dataset.pick));
    box.disabled = Boolean(review.read_only);
  }
}

const onCast = () => document.querySelector("#view .cards") !== null;
const pickedPeople = () => [...new Set([...picked].map((track) => report.tracks.person[track]))].filter((n) => n > 0);

// Of each person of these tracks the others that they have.
function rests(tracks) {
  const numbers = [...new Set(tracks.map((t) => report.tracks.person[t]))].filter((n) => n > 0);
  return numbers.map((n) => members.get(n).filter((t) => !tracks.includes(t)));
}

function say(text) {
  said = text;
  const place = document.getElementById("said");
  if (!place) return;
  place.textContent = text;
  place.classList.remove("alert");
}

function complain(error) {
  say(error.message);
  document.getElementById("said")?.classList.add("alert");
}

// The bar at the foot of the page.
function desk() {
  const turn = (kind, row, text, key) =>
    button([text, element("kbd", {}, key)], () => turned(kind, row), {
      id: kind, "data-key": kind, disabled: !row || Boolean(review.read_only), title: row ? `${row.kind}: ${row.says}` : `Nothing to ${kind}`,
    });
  const actions = picked.size ? (onCast() ? ofPeople() : ofTracks([...picked])) : [];
  document.getElementById("desk").replaceChildren(
    element("div", { class: "turns" }, turn("undo", review.undo, "Undo", "u"), turn("redo", review.redo, "Redo", "U")),
    element("p", { id: "said", role: "status" }, said),
    element("div", { class: "actions" }, actions),
  );
}

const action = (name, text, key, press, why = "") =>
  button([text, key && element("kbd", {}, key)], press, { "data-action": name, disabled: Boolean(why), title: why || null });

function ofPeople() {
  const n = pickedPeople().length;
  const two = n < 2 ? "Pick two people or more" : "";
  return [
    element("span", {}, `${counted(n, "person", "people")} picked`),
    action("merge", "Merge", "m", () => merge(pickedPeople()), two),
    action("different", "Two people", "d", () => different(pickedPeople()), n === 2 ? "" : "Pick two people"),
    action("clear", "Clear", "Esc", unpick),
  ];
}

function ofTracks(tracks) {
  const rest = rests(tracks);
  const none = rest.some((own) => !own.length) ? "These are all there is of someone" : "";
  const unknown = tracks.some((t) => report.tracks.person[t] < 0) ? "Some of them are no one's" : "";
  return [
    element("span", {}, `${counted(tracks.length, "track")} picked`),
    action("split", "Split off", "s", () => split(tracks), none),
    action("move", "Move to…", "m", () => move(tracks)),
    action("not-them", "Not this person", "r", () => reject(tracks, rest), none || unknown),
    action("no-face", "Not a face", "f", () => reject(tracks, [])),
    action("clear", "Clear", "Esc", unpick),
  ];
}
