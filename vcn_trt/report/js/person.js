// One person: where they are along each video, and a contact sheet of their tracks, shot by shot.

function personView(number) {
  const person = personOf(number);
  if (!person) return [heading("There is no such person"), element("p", {}, "They may have another number by now.")];
  const own = members.get(number);
  const { class: kind, ...rest } = colours(person);
  const order = [...report.people].sort(ORDERS[asked.order][1]);
  const at = order.indexOf(person);
  const step = (to, text, key) =>
    order[to] && element("a", { href: `#/person/${order[to].number}`, id: key, rel: key }, text, bdi(order[to].name));
  const clusters = person.clusters.length > 1 ? `clusters ${person.clusters.join(", ")}` : `cluster ${number}`;
  return [
    element(
      "div",
      { class: `person ${kind}`, ...rest, "data-person": number },
      face(person.cover?.source, ""),
      element(
        "div",
        {},
        heading(bdi(person.name)),
        quantities([
          [clock(person.seconds), "on screen"],
          [person.tracks, person.tracks === 1 ? "track" : "tracks"],
          [person.shots, person.shots === 1 ? "shot" : "shots"],
          [new Set(own.map((t) => report.tracks.video[t])).size, "of " + counted(report.videos.length, "video")],
        ]),
        element("p", { class: "quiet small" }, clusters),
        element("p", { class: "steps small" }, step(at - 1, "← ", "previous"), step(at + 1, "→ ", "next")),
      ),
    ),
    element("h2", {}, "When"),
    report.videos.map((video) => reel(person, video, own.filter((track) => report.tracks.video[track] === video.id))),
    element("h2", {}, "Contact sheet by shot"),
    pictured(own),
    sheets(own),
  ];
}

function quantities(pairs) {
  const items = pairs.map(([value, text]) => element("div", {}, element("dt", {}, text), element("dd", {}, value)));
  return element("dl", { class: "facts" }, items);
}

function reel(person, video, here) {
  if (!here.length) return null;
  const label = `When ${person.name} is seen in ${video.name}: ${counted(here.length, "track")}`;
  const line = element("p", {}, bdi(video.name), element("span", { class: "quiet" }, `${video.start}, ${clock(video.seconds)}`));
  return element("div", { class: "reel" }, line, pressedBar(here, video, label, colours(person), goToTrack));
}

function goToTrack(track) {
  const figure = document.querySelector(`.track[data-track="${track}"]`);
  if (!figure) return;
  document.querySelector(".track.found")?.classList.remove("found");
  figure.classList.add("found");
  figure.scrollIntoView({ block: "center" });
}

function pictured(own) {
  const n = own.filter((track) => report.pictures[track]).length;
  if (n === own.length) return null;
  return element("p", { class: "quiet small" }, `${n} of ${counted(own.length, "track")} are pictured: the longest.`);
}

const figures = drawnBefore();

// A sheet for each video that these tracks are of, with a frame around what one shot shows.
function sheets(own) {
  const t = report.tracks;
  figures.begin();
  return report.videos.map((video) => {
    const shots = new Map();
    for (const track of own.filter((o) => t.video[o] === video.id && report.pictures[o])) {
      if (!shots.has(t.shot[track])) shots.set(t.shot[track], []);
      shots.get(t.shot[track]).push(track);
    }
    if (!shots.size) return null;
    const title = report.videos.length > 1 && element("h3", { class: "of-video" }, bdi(video.name));
    return [title, element("div", { class: "sheet" }, [...shots].map(([number, tracks]) => shot(number, tracks, title ? "h4" : "h3")))];
  });
}

function shot(number, tracks, level) {
  const figure = (track) => {
    const person = report.tracks.person[track];
    return figures.element([track, report.tracks.frame[track], person, nameOf(person)], () => trackFigure(track));
  };
  return element("section", { class: "shot" }, element(level, {}, `Shot ${number}`), element("div", {}, tracks.map(figure)));
}
