// What deserves a look: people who are in one frame with themselves, weak tracks, and the pairs that were closest to
// being decided the other way.

function checksView() {
  const c = report.checks;
  const none = !["joined", "apart", "together", "bridges", "weak"].some((name) => c[name].length);
  return [
    heading("Checks"),
    element("p", { class: "quiet" }, none ? "There is nothing to look at." : "Where a mistake is likeliest, first."),
    section("In one frame with themselves", c.together, c.left_out.together, "pair", twice, [
      "Two tracks of one person that a frame shows at once: a mirror, a screen, or a mistake.",
    ]),
    section("Joined by the least margin", c.joined, c.left_out.joined, "pair", (pair) => compared(pair, "Joined"), [
      "The groups of these two tracks became one person. Similarity is a loss: lower is nearer, and below the ",
      "threshold they join. What passed by a hair is the first to doubt.",
    ]),
    section("Kept apart by the least margin", c.apart, c.left_out.apart, "pair", (pair) => compared(pair, "Two people"), [
      "These are two people whose nearest tracks are shown. At or above the threshold they do not join; two whom one ",
      "frame shows never do.",
    ]),
    section("Bridges", c.bridges, c.left_out.bridges, "track", bridge, [
      "Tracks that alone hold others to their person: without the first, the others are near none of the rest.",
    ]),
    c.weak.length > 0 && [
      element("h2", {}, "Hardly a face", element("span", { class: "count" }, counted(c.weak.length, "track"))),
      element("p", { class: "quiet small" }, "Someone's tracks, of a quality near that of pictures without a face."),
      leftOut(c.left_out.weak, "track"),
      element("div", { class: "sheet" }, c.weak.map((track) => element("div", { class: "shot" }, weak(track)))),
    ],
  ];
}

function section(title, items, more, what, draw, explained) {
  if (!items.length) return null;
  return [
    element("h2", {}, title, element("span", { class: "count" }, counted(items.length, what))),
    element("p", { class: "quiet small" }, explained.join("")),
    leftOut(more, what),
    element("ul", { class: "pairs" }, items.map((item) => element("li", { class: "pair" }, draw(item)))),
  ];
}

function twice(pair) {
  return [
    element("h3", {}, personLink(report.tracks.person[pair.a]), ` twice in frame ${pair.frame.toLocaleString("en")}`),
    both(pair),
  ];
}

function bridge({ track, holds, n }) {
  const more = n > holds.length ? `, ${counted(n - holds.length, "more", "more")} not shown` : "";
  return [
    element("h3", {}, personLink(report.tracks.person[track]), `: track ${track} holds ${counted(n, "track")}${more}`),
    element("div", { class: "several" }, [track, ...holds].map((t) => trackFigure(t))),
  ];
}

function compared(pair, verdict) {
  const beyond = pair.similarity - pair.threshold;
  const numbers = `similarity ${pair.similarity.toFixed(3)}, threshold ${pair.threshold.toFixed(3)}`;
  const by = `${Math.abs(beyond).toFixed(3)} ${beyond < 0 ? "below" : "above"}`;
  return [
    element("h3", {}, verdict, element("span", { class: "quiet" }, `, ${by}${pair.together ? ", in one frame" : ""}`)),
    both(pair),
    gauge(pair),
    element("p", { class: "quiet small" }, numbers),
  ];
}

function both(pair) {
  return element("div", {}, trackFigure(pair.a, { person: true }), trackFigure(pair.b, { person: true }));
}

function weak(track) {
  const figure = trackFigure(track, { person: true });
  figure.lastChild.append(element("br"), `quality ${report.tracks.quality[track]}`);
  return figure;
}

// How far the similarity goes, with the threshold as a mark; the scale ends at a tenth beyond it.
function gauge(pair) {
  const whole = Math.abs(pair.threshold) * 0.2 || 1;
  const at = (value) => `${100 * Math.max(0, Math.min(1, 0.5 + (value - pair.threshold) / whole))}%`;
  const fillUp = element("i");
  fillUp.style.width = at(pair.similarity);
  const limit = element("b");
  limit.style.left = "50%";
  return element("div", { class: "gauge", "aria-hidden": "true" }, fillUp, limit);
}

function personLink(number) {
  return number < 0 ? "Unknown" : element("a", { href: `#/person/${number}` }, bdi(nameOf(number)));
}
