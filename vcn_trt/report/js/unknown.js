// The tracks of no one, with the reason.

function unknownView() {
  const groups = report.unknown.map((group) => [
    element("h2", {}, group.reason, element("span", { class: "count" }, counted(group.tracks.length, "track"))),
    pictured(group.tracks),
    sheets(group.tracks),
  ]);
  return [
    heading("Unknown"),
    element("p", { class: "quiet" }, report.unknown.length ? "Tracks that stand for no person, and why." : "Every track is someone's."),
    groups,
  ];
}
