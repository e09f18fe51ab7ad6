// Everything that was corrected by hand, the last first, and what cannot be applied.

VIEWS.corrections = ["Corrections", correctionsView, () => review.corrections.length + review.left_out || ""];

function correctionsView() {
  const rows = [...review.corrections].reverse().map((row) => {
    const undone = row.state === "undone";
    const kind = undone ? "redo" : "undo";
    const press = button(undone ? "Redo" : "Undo", () => turned(kind, row), {
      "data-key": `${kind}-${row.id}`, disabled: Boolean(review.read_only), "aria-label": `${kind} ${row.kind}: ${row.says}`,
    });
    const when = element("time", { datetime: row.time, class: "quiet small" }, new Date(row.time).toLocaleString());
    return [bdi(row.kind), element("span", { class: undone ? "undone" : "" }, row.says), row.state, when, press];
  });
  return [
    heading("Corrections"),
    element("p", { class: "quiet" }, rows.length
      ? "They hold in every later grouping, also when new videos come. Tracks by the numbers that they had then."
      : "Nothing was corrected yet."),
    review.told.map((sentence) => element("p", { class: "notice" }, sentence)),
    rows.length > 0 && table(["What", "Says", "State", "When", ""], rows),
    leftOut(review.left_out, "earlier correction"),
  ];
}
