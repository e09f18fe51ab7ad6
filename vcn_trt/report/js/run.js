// How the run was made: videos, stages and their seconds, what was said on the way, and the configuration.

function runView() {
  const total = facts.stages.reduce((sum, stage) => sum + stage.seconds, 0) || 1;
  const pace = facts.frames ? `${counted(facts.frames, "frame")} at ${rate(total)} a second over all stages.` : "";
  const failed = facts.failed.map((f) => [bdi(f.path), `: ${f.reason}`]);
  return [
    heading("Run"),
    notices("Left out", failed),
    notices("Warnings", facts.warnings),
    element("h2", {}, "Videos"),
    table(["Video", "Starts at", "Length", "Frames", "Rate", "Picture", "Codec", "Shots"], report.videos.map((v) => [
      bdi(v.name), v.start, clock(v.seconds), v.frames.toLocaleString("en"), v.fps, `${v.width} × ${v.height}`, v.codec, v.shots,
    ])),
    element("h2", {}, "Stages"),
    element("p", { class: "quiet small" }, pace),
    table(["Stage", "Seconds", "Share", "Frames a second", "Found"], facts.stages.map((stage) => [
      stage.name, stage.seconds.toFixed(1), share(stage.seconds / total), rate(stage.seconds),
      element("div", { class: "found-in" }, counts(stage.counts)),
    ])),
    notices("Notes", [...facts.notes, ...report.videos.flatMap((v) => v.notes)]),
    element("h2", {}, "Made with"),
    element("p", {}, facts.device),
    element("p", { class: "quiet small" }, Object.entries(facts.versions).map(([k, v]) => `${k} ${v}`).join(", ")),
    element("details", {}, element("summary", {}, "Configuration"), element("pre", { tabindex: 0 }, configuration())),
  ];
}

function notices(title, sentences) {
  if (!sentences.length) return null;
  return [element("h2", {}, title), sentences.map((sentence) => element("p", { class: "notice" }, sentence))];
}

function table(titles, rows) {
  const head = element("tr", {}, titles.map((title) => element("th", { scope: "col" }, title)));
  const body = rows.map((cells) => element("tr", {}, cells.map((cell) => element("td", {}, cell))));
  return element("div", { class: "wide", tabindex: 0, role: "region", "aria-label": titles[0] }, element("table", {}, head, body));
}

function rate(seconds) {
  return facts.frames && seconds ? Math.round(facts.frames / seconds).toLocaleString("en") : "";
}

function share(part) {
  return element("div", { class: "share" }, plainBar([[0, part]], `${Math.round(100 * part)} %`, {}));
}

function counts(found) {
  return Object.entries(found).map(([k, v]) => `${k.replaceAll("_", " ")} ${v.toLocaleString("en")}`).join(", ");
}

function configuration() {
  return Object.entries(facts.config)
    .map(([name, value]) =>
      value && typeof value === "object"
        ? `\n[${name}]\n` + Object.entries(value).map(([k, v]) => `${k} = ${JSON.stringify(v)}`).join("\n")
        : `${name} = ${JSON.stringify(value)}`,
    )
    .join("\n");
}
