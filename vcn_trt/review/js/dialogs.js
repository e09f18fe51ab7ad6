// Questions, each in a dialog of its own, so that the page below may change meanwhile.

// -> a promise of what was chosen, null where it was left. fill(done): the content; done(value) closes.
function dialog(title, fill, wide = false) {
  return new Promise((resolve) => {
    let chosen = null;
    const made = element("dialog", { "aria-label": title, class: wide ? "wide-dialog" : "", onclose: () => (made.remove(), resolve(chosen)) });
    const done = (value) => {
      chosen = value;
      made.close();
    };
    made.append(element("h3", {}, title), ...[fill(done)].flat(Infinity).filter(Boolean));
    document.body.append(made);
    made.showModal();
  });
}

const button = (text, press, more = {}) => element("button", { type: "button", onclick: press, ...more }, text);
const choices = (...buttons) => element("p", { class: "choices" }, buttons);

function confirmed(title, text, yes) {
  return dialog(title, (done) => [
    [text].flat().map((t) => element("p", {}, t)),
    choices(button(yes, () => done(true), { autofocus: true, class: "main" }), button("Cancel", () => done(null))),
  ]);
}

// A text, "" too. -> null where it was left
function typed(title, label, value, known = []) {
  return dialog(title, (done) => {
    const input = element("input", { type: "text", id: "answer", value, autofocus: true, autocomplete: "off", list: "known", maxlength: 200 });
    const submit = (event) => {
      event.preventDefault();
      done(input.value.trim());
    };
    setTimeout(() => input.select());
    return element(
      "form",
      { onsubmit: submit },
      element("label", { for: "answer" }, label),
      input,
      element("datalist", { id: "known" }, known.map((name) => element("option", { value: name }))),
      choices(element("button", { type: "submit", class: "main" }, "Save"), button("Cancel", () => done(null))),
    );
  });
}

// Someone of the cast, but for some. -> a number
function someone(title, without = []) {
  return dialog(title, (done) => {
    const everyone = report.people.filter((p) => !without.includes(p.number)).sort(ORDERS.time[1]);
    const list = element("ul", { class: "people" });
    const show = (words) => {
      const found = everyone.filter((p) => folded(p.name).includes(folded(words)));
      const row = (p) => element("li", {}, element("button", { type: "button", onclick: () => done(p.number) }, face(p.cover?.source, ""), bdi(p.name)));
      list.replaceChildren(...found.map(row));
    };
    const input = element("input", {
      type: "search",
      "aria-label": "Name or number",
      placeholder: "Name or number",
      autofocus: true,
      autocomplete: "off",
      oninput: (event) => show(event.target.value),
      onkeydown: (event) => {
        const first = list.querySelector("button");
        if (event.key === "Enter") first?.click();
        else if (event.key === "ArrowDown") first?.focus();
        else return;
        event.preventDefault();
      },
    });
    list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
      if (!step) return;
      event.preventDefault();
      (document.activeElement.closest("li")?.[step]?.firstElementChild ?? (event.key === "ArrowUp" ? input : null))?.focus();
    });
    show("");
    return [input, list, choices(button("Cancel", () => done(null)))];
  });
}
