// The tracks on a plane, before and after adaptation, coloured by person.

function mapView() {
  const m = report.map;
  const panels = element("div", { class: "maps" }, [
    m.base && panel("Before adaptation", m.base),
    m.adapted && panel("After adaptation", m.adapted),
  ]);
  const show = (number) => {
    panels.classList.toggle("chosen", number !== "");
    for (const dot of panels.querySelectorAll("circle")) dot.classList.toggle("found", dot.dataset.person === number);
  };
  const everyone = report.people.map((p) => element("option", { value: p.number }, p.name));
  const choice = element("select", { onchange: (event) => show(event.target.value) },
    element("option", { value: "" }, "everyone"), everyone, element("option", { value: "-1" }, "Unknown"));
  return [
    heading("Embedding map"),
    element(
      "p",
      { class: "quiet" },
      "Each dot is a track, by t-SNE of its mean vector. Near dots look alike to the network; distances between " +
        "groups, and their sizes, mean little.",
    ),
    m.note && element("p", { class: "notice" }, m.note),
    m.base && element("div", { class: "tools" }, element("label", {}, element("span", {}, "Show"), choice)),
    panels,
  ];
}

function panel(title, places) {
  const radius = places.length < 300 ? 12 : 8;
  const dots = report.map.tracks.map((track, i) => {
    const number = report.tracks.person[track];
    const [x, y] = places[i];
    return drawn("circle", { cx: x, cy: y, r: radius, "data-track": track, "data-person": number, ...colours(personOf(number)) });
  });
  const label = `${title}: ${counted(dots.length, "track")} by likeness`;
  const box = { viewBox: "-30 -30 1060 1060", role: "img", "aria-label": label };
  const press = (event) => {
    const number = event.target.dataset?.person;
    if (number) location.hash = number === "-1" ? "#/unknown" : `#/person/${number}`;
  };
  const events = { onclick: press, onpointermove: peek, onpointerleave: unpeek };
  return element("section", {}, element("h2", {}, title), drawn("svg", { ...box, ...events }, dots));
}

function peek(event) {
  unpeek();
  const track = event.target.dataset?.track;
  if (!track) return;
  const seen = element("div", { id: "peek" }, trackFigure(Number(track), { person: true }));
  seen.style.left = `${Math.min(event.clientX + 14, window.innerWidth - 130)}px`;
  seen.style.top = `${Math.min(event.clientY + 14, window.innerHeight - 190)}px`;
  document.body.append(seen);
}

function unpeek() {
  document.getElementById("peek")?.remove();
}
