// "Same person?": pairs of people, the likeliest first, to be answered by one key each.

const queue = { pairs: null, skipped: new Set(), answered: 0, error: "" };
const pairKey = (pair) => pair.tracks.join();

VIEWS.same = ["Same person?", sameView];

function sameView() {
  if (queue.pairs === null && !queue.error) fetchPairs();
  const pair = nextPair();
  const title = heading("Same person?");
  if (queue.error) return [title, element("p", { class: "notice" }, queue.error)];
  if (queue.pairs === null) return [title, element("p", { class: "quiet", role: "status" }, "Comparing everyone…")];
  if (!pair) {
    const again = queue.skipped.size > 0 && button(`Ask the ${counted(queue.skipped.size, "skipped pair")} again`, unskip);
    return [title, element("p", {}, "No pair is left that looks alike."), again && choices(again)];
  }
  const [one, other] = pair.tracks.map((track) => report.tracks.person[track]);
  const left = queue.pairs.filter(isOpen).length;
  const locked = Boolean(review.read_only);
  return [
    title,
    element("p", { class: "quiet" }, `${counted(left, "pair")} to go, the likeliest first; ${queue.answered} answered. Nothing is asked twice.`),
    element("div", { class: "same", "data-pair": pairKey(pair) }, side(one, pair.tracks[0]), side(other, pair.tracks[1])),
    element("p", { class: "quiet small" }, `Likeness ${pair.likeness.toFixed(2)} (0 as strangers, 1 as one track with itself), ` +
      `${Math.abs(pair.margin).toFixed(2)} ${pair.margin < 0 ? "below" : "above"} where tracks join.`),
    element("div", { class: "answers" },
      button(["Yes, one person", element("kbd", {}, "y")], () => answer("same"), { id: "yes", disabled: locked }),
      button(["No, two people", element("kbd", {}, "n")], () => answer("different"), { id: "no", disabled: locked }),
      button(["Skip", element("kbd", {}, "s")], () => answer("skip"), { id: "skip" })),
  ];
}

// The nearest track large, then others of the person, spread over what there is.
function side(number, track) {
  const person = personOf(number);
  const others = members.get(number).filter((t) => t !== track && report.pictures[t]);
  const some = others.filter((_, i) => i % Math.ceil(others.length / 6 || 1) === 0).slice(0, 6);
  const { class: kind, ...rest } = colours(person);
  return element("section", { class: kind, ...rest, "data-person": number },
    element("h2", {}, element("a", { href: `#/person/${number}` }, bdi(person.name))),
    element("p", { class: "quiet small" }, `${clock(person.seconds)}, ${counted(person.tracks, "track")}`),
    element("div", { class: "nearest" }, face(report.pictures[track], `Track ${track}, ${person.name}`),
      button("Look", () => preview(track), { class: "look", "aria-label": `Look at track ${track} in the video` })),
    element("div", { class: "others" }, some.map((t) => face(report.pictures[t], `Track ${t}, ${person.name}`))));
}

// Still two people, and not put aside.
function isOpen(pair) {
  const [one, other] = pair.tracks.map((track) => report.tracks.person[track]);
  return one > 0 && other > 0 && one !== other && !queue.skipped.has(pairKey(pair));
}

const nextPair = () => queue.pairs?.find(isOpen);

async function answer(kind) {
  const pair = nextPair();
  if (!pair || busy) return;
  if (kind === "skip") {
    queue.skipped.add(pairKey(pair));
    return show(false);
  }
  const numbers = pair.tracks.map((track) => report.tracks.person[track]);
  queue.pairs = queue.pairs.filter((p) => p !== pair); // whatever is shown next, it is not this one
  if (await correct({ kind, people: numbers.map(whole) })) {
    queue.answered += 1;
    fetchPairs();
  } else {
    queue.pairs.unshift(pair);
    show(false);
  }
}

function unskip() {
  queue.skipped.clear();
  show(false);
}

// Anew behind the pair that is looked at: every answer changes what is likely.
let fetching = 0;
async function fetchPairs() {
  const own = ++fetching;
  const version = review.version;
  try {
    const found = await ask("suggestions");
    if (own !== fetching || version !== review.version) return;
    const now = queue.pairs && nextPair();
    const still = now && found.find((pair) => pairKey(pair) === pairKey(now));
    queue.pairs = still ? [still, ...found.filter((pair) => pair !== still)] : found;
    queue.error = "";
  } catch (error) {
    queue.error = error.message;
  }
  if (location.hash === "#/same") show(false);
}
