// The whole film by person: a row each, one video or all of them end to end.

let chosenVideo = "all"; // as it was left

function timelineView() {
  const rows = element("div", { class: "rows" });
  const show = () => rows.replaceChildren(...timelineRows());
  show();
  const choice = element(
    "select",
    {
      onchange: (event) => {
        chosenVideo = event.target.value;
        show();
      },
    },
    element("option", { value: "all" }, "All, end to end"),
    report.videos.map((v) => element("option", { value: v.id, selected: chosenVideo === String(v.id) }, v.name)),
  );
  const several = report.videos.length > 1;
  return [
    heading("Timeline"),
    element("p", { class: "quiet" }, "Everyone by screen time; a stretch is drawn a little wide where it is short."),
    several && element("div", { class: "tools" }, element("label", {}, element("span", {}, "Video"), choice)),
    rows,
  ];
}

function timelineRows() {
  const videos = report.videos.filter((v) => chosenVideo === "all" || String(v.id) === chosenVideo);
  const length = videos.reduce((sum, v) => sum + v.frames, 0) || 1;
  const begin = new Map(); // of each video, in parts of the whole
  videos.reduce((sum, v) => (begin.set(v.id, sum / length), sum + v.frames), 0);
  const edges = [...begin.values()].filter((at) => at > 0);
  const everyone = [...report.people].sort(ORDERS.time[1]).map((p) => [p, members.get(p.number)]);
  everyone.push([null, report.unknown.flatMap((group) => group.tracks)]);
  const rows = [element("span", {}), ruler(videos, begin)];
  for (const [person, tracks] of everyone) {
    const here = tracks.filter((track) => begin.has(report.tracks.video[track]));
    if (here.length) rows.push(rowName(person), rowBar(person, here, begin, length, edges));
  }
  return rows;
}

function rowName(person) {
  if (!person) return element("a", { href: "#/unknown" }, element("bdi", { class: "quiet" }, "Unknown"));
  return element("a", { href: `#/person/${person.number}` }, face(person.cover?.source, ""), bdi(person.name));
}

function rowBar(person, tracks, begin, length, edges) {
  const t = report.tracks;
  const stretches = tracks.map((track) => {
    const from = begin.get(t.video[track]);
    return [from + t.start[track] / length, from + t.stop[track] / length];
  });
  const label = `When ${person ? person.name : "no one known"} is seen: ${counted(tracks.length, "track")}`;
  return plainBar(stretches, label, colours(person), edges);
}

function ruler(videos, begin) {
  const marks = [];
  if (videos.length === 1) {
    const room = Math.min(12, Math.max(3, Math.floor(window.innerWidth / 120)));
    for (const seconds of ticks(videos[0].seconds, room)) {
      const at = (seconds * videos[0].fps) / videos[0].frames;
      if (at < 0.97) marks.push(mark(at, seconds ? elapsed(seconds) : videos[0].start));
    }
  } else {
    const ends = [...[...begin.values()].slice(1), 1];
    videos.forEach((v, i) => marks.push(mark(begin.get(v.id), bdi(v.name), ends[i] - begin.get(v.id))));
  }
  return element("div", { class: "ruler" }, marks);
}

function mark(at, text, width) {
  const made = element("span", {}, text);
  made.style.insetInlineStart = `${100 * at}%`;
  if (width) made.style.width = `${100 * width}%`;
  return made;
}
