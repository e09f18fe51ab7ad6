// One person: where they are along each video, and a contact sheet of their tracks, shot by shot.

function personView(number) {
  const person = personOf(number);
  if (!person) return [heading("There is no such person"), element("p", {}, "They may have another number by now.")];
  const own = members.get(number);
  const { class: kind, ...rest } = colours(person);
  const at = report.people.indexOf(person);
  const step = (to, text, key) =>
    report.people[to] &&
    element("a", { href: `#/person/${report.people[to].number}`, id: key, rel: key }, text, bdi(report.people[to].name));
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
    report.videos.map((video) => reel(person, own, video)),
    element("h2", {}, "Contact sheet by shot"),
    pictured(own),
    element("div", { class: "sheet" }, byShot(own).map(([title, tracks]) => shot(title, tracks))),
  ];
}

function quantities(pairs) {
  const items = pairs.map(([value, text]) => element("div", {}, element("dt", {}, text), element("dd", {}, value)));
  return element("dl", { class: "facts" }, items);
}

function reel(person, own, video) {
  const here = own.filter((track) => report.tracks.video[track] === video.id);
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

function byShot(own) {
  const t = report.tracks;
  const groups = new Map();
  for (const track of own.filter((track) => report.pictures[track])) {
    const key = `${t.video[track]} ${t.shot[track]}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(track);
  }
  return [...groups.values()].map((tracks) => {
    const shotName = `Shot ${t.shot[tracks[0]]}`;
    const video = report.videos.length > 1 ? [bdi(report.videos[t.video[tracks[0]]].name), " "] : [];
    return [[...video, shotName], tracks];
  });
}

function shot(title, tracks) {
  const figures = element("div", {}, tracks.map((track) => trackFigure(track)));
  return element("section", { class: "shot" }, element("h3", {}, title), figures);
}
