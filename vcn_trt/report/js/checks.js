// What deserves a look: people who are in one frame with themselves, the pairs that were closest to being decided the
// other way, tracks that alone hold others, and those that hardly show a face.

const CHECKS = [
  ["together", "In one frame with themselves", "pair", twice,
    "Two tracks of one person that a frame shows at once: a mirror, a screen, or a mistake."],
  ["joined", "Joined by the least margin", "pair", (pair) => compared(pair, "Joined"),
    "The groups of these two tracks became one person. Similarity is a loss: lower is nearer, and below the threshold " +
    "they join. What passed by a hair is the first to doubt."],
  ["apart", "Kept apart by the least margin", "pair", (pair) => compared(pair, "Two people"),
    "Two people, by their nearest tracks. At the threshold or above they do not join; two whom one frame shows never do."],
  ["bridges", "Bridges", "track", bridge,
    "A track that alone holds others to its person: without the first one, the others are near none of the rest."],
  ["weak", "Hardly a face", "track", weak, "Someone's tracks, of a quality near that of pictures without a face."],
];

function checksView() {
  const found = CHECKS.filter(([name]) => report.checks[name].length);
  const jumps = found.map(([name, title]) => {
    const jump = () => document.getElementById(`check-${name}`).scrollIntoView();
    return element("button", { type: "button", onclick: jump }, title, element("span", { class: "count" }, total(name)));
  });
  return [
    heading("Checks"),
    element("p", { class: "quiet" }, found.length ? "Where a mistake is likeliest." : "There is nothing to look at."),
    element("div", { class: "tools small" }, jumps),
    found.map(([name, title, what, draw, explained]) => [
      element("h2", { id: `check-${name}` }, title, element("span", { class: "count" }, counted(total(name), what))),
      element("p", { class: "quiet small explained" }, explained),
      element("ul", { class: "pairs" }, report.checks[name].map((item) => element("li", { class: "pair" }, draw(item)))),
      leftOut(report.checks.left_out[name], what),
    ]),
  ];
}

function total(name) {
  return report.checks[name].length + report.checks.left_out[name];
}

function twice(pair) {
  return [
    element("h3", {}, personLink(report.tracks.person[pair.a]), ` twice in frame ${pair.frame.toLocaleString("en")}`),
    both(pair),
  ];
}

function compared(pair, verdict) {
  const beyond = pair.similarity - pair.threshold;
  const numbers = `similarity ${pair.similarity.toFixed(3)}, threshold ${pair.threshold.toFixed(3)}`;
  const by = `${Math.abs(beyond).toFixed(3)} ${beyond < 0 ? "below" : "above"}${pair.together ? ", in one frame" : ""}`;
  return [
    element("h3", {}, verdict, element("span", { class: "quiet" }, `, ${by}`)),
    both(pair),
    gauge(pair),
    element("p", { class: "quiet small" }, numbers),
  ];
}

function bridge({ track, holds, n }) {
  const more = n > holds.length ? `, ${holds.length} of them shown` : "";
  return [
    element("h3", {}, personLink(report.tracks.person[track]), `: track ${track} holds ${counted(n, "track")}${more}`),
    element("div", { class: "several" }, [track, ...holds].map((t) => trackFigure(t))),
  ];
}

function weak(track) {
  const title = element("h3", {}, personLink(report.tracks.person[track]), `: quality ${report.tracks.quality[track]}`);
  return [title, element("div", {}, trackFigure(track))];
}

function both(pair) {
  return element("div", {}, trackFigure(pair.a, { person: true }), trackFigure(pair.b, { person: true }));
}

// How far the similarity goes, with the threshold as a mark in the middle; a tenth of it to either side.
function gauge(pair) {
  const whole = Math.abs(pair.threshold) * 0.2 || 1;
  const part = Math.max(0, Math.min(1, 0.5 + (pair.similarity - pair.threshold) / whole));
  return element(
    "div",
    { class: "gauge", "aria-hidden": "true" },
    element("i", { "--part": `${100 * part}%` }),
    element("b"),
  );
}

function personLink(number) {
  return number < 0 ? "Unknown" : element("a", { href: `#/person/${number}` }, bdi(nameOf(number)));
}
