// The cast as cards, to be searched and sorted.

const ORDERS = {
  time: ["Screen time", (a, b) => b.seconds - a.seconds || a.number - b.number],
  name: ["Name", (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true })],
  first: ["First appearance", (a, b) => (members.get(a.number)[0] ?? 0) - (members.get(b.number)[0] ?? 0)],
  shots: ["Shots", (a, b) => b.shots - a.shots || a.number - b.number],
};
const asked = { words: "", order: "time" }; // as it was left
const cards = drawnBefore();

function castView() {
  const list = element("ul", { class: "cards", "aria-label": "Cast" });
  const status = element("p", { class: "quiet small", role: "status" });
  const show = () => {
    const wanted = folded(asked.words);
    const found = report.people.filter((p) => folded(p.name).includes(wanted)).sort(ORDERS[asked.order][1]);
    const whole = (person) => () => element("li", {}, card(person), marks.card?.(person));
    cards.begin();
    list.replaceChildren(...found.map((person) => cards.element([person, members.get(person.number)[0]], whole(person))));
    status.textContent = wanted ? `${counted(found.length, "person", "people")} of ${report.people.length}` : "";
  };
  show();
  const tracks = report.tracks.video.length;
  const unknown = report.unknown.reduce((sum, group) => sum + group.tracks.length, 0);
  const minutes = clock(report.videos.reduce((sum, v) => sum + v.seconds, 0));
  const about = [
    `${counted(report.people.length, "person", "people")} in ${counted(tracks, "face track")}`,
    unknown ? `, ${unknown.toLocaleString("en")} of them Unknown` : "",
    `, ${counted(report.videos.length, "video")}, ${minutes}.`,
  ];
  return [
    heading("Cast"),
    element("p", { class: "quiet" }, about.join("")),
    method(),
    report.people.length ? tools(show) : element("p", {}, "No face was found that could be told apart."),
    status,
    list,
  ];
}

function method() {
  if (!report.method || report.method.startsWith("vcn")) return null; // older runs name none
  const sentence = `Grouped by a baseline (${report.method}), for comparison: not by the method of this program.`;
  return element("p", { class: "notice" }, sentence);
}

function tools(show) {
  const search = element("input", {
    type: "search",
    id: "search",
    placeholder: "Name or number",
    autocomplete: "off",
    value: asked.words,
    oninput: (event) => {
      asked.words = event.target.value;
      show();
    },
    onkeydown: (event) => {
      if (event.key === "ArrowDown" || event.key === "Enter") document.querySelector(".card")?.focus();
      else return;
      event.preventDefault();
    },
  });
  const order = element(
    "select",
    {
      onchange: (event) => {
        asked.order = event.target.value;
        show();
      },
    },
    Object.entries(ORDERS).map(([key, [text]]) =>
      element("option", { value: key, selected: key === asked.order }, text),
    ),
  );
  return element(
    "div",
    { class: "tools" },
    element("label", {}, element("span", {}, "Find"), search),
    element("label", {}, element("span", {}, "Order"), order),
  );
}

function card(person) {
  const { class: kind, ...rest } = colours(person);
  return element(
    "a",
    { class: `card ${kind}`, ...rest, href: `#/person/${person.number}`, "data-person": person.number },
    face(person.cover?.source, ""),
    element(
      "div",
      {},
      bdi(person.name),
      element("p", {}, clock(person.seconds)),
      element("p", {}, `${counted(person.tracks, "track")}, ${counted(person.shots, "shot")}`),
    ),
  );
}

const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLocaleLowerCase().trim();

// Arrow keys go from card to card as they lie on the page.
function moveAmongCards(event) {
  const cards = [...document.querySelectorAll(".card")];
  const at = cards.indexOf(document.activeElement);
  if (at < 0) return;
  const columns = cards.filter((c) => c.offsetTop === cards[0].offsetTop).length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  const to = event.key === "Home" ? 0 : event.key === "End" ? cards.length - 1 : at + step;
  if (Number.isNaN(to)) return;
  event.preventDefault();
  cards[Math.max(0, Math.min(cards.length - 1, to))].focus();
}
