// A track in its video: the frame of its face, its neighbours by the arrow keys, and all of it as a clip.

async function preview(track) {
  const t = report.tracks;
  const [start, stop, clip] = [t.start[track], t.stop[track], report.videos[t.video[track]]];
  let playing = false;
  let turn = 0;
  let shown = null;
  const picture = element("img", { alt: `Track ${track} in its frame`, class: "still", width: clip.width, height: clip.height });
  const line = element("p", { class: "quiet small", role: "status" });
  const where = element("div", {});
  const range = element("input", { type: "range", min: start, max: stop - 1, value: t.frame[track], autofocus: true, "aria-label": "Frame" });

  const show = async () => {
    const own = ++turn;
    const frame = Number(range.value);
    try {
      const found = await ask(`still/${track}/${frame}?version=${review.version}`);
      if (own !== turn) return;
      if (shown) URL.revokeObjectURL(shown);
      picture.src = shown = URL.createObjectURL(found);
      await picture.decode();
      line.textContent = `Frame ${frame.toLocaleString("en")} of ${clip.name}, track ${track}: frames ${start} to ${stop - 1}`;
      where.replaceChildren();
    } catch (error) {
      if (own !== turn) return;
      playing = false;
      line.textContent = error.message;
      if (error.status === 409) where.replaceChildren(folder(show));
    }
  };
  const play = async () => {
    playing = !playing;
    if (Number(range.value) >= stop - 1) range.value = start;
    while (playing && picture.isConnected && Number(range.value) < stop - 1) {
      const began = performance.now();
      range.value = Number(range.value) + 1;
      await show();
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, 1000 / clip.fps - (performance.now() - began))));
    }
    playing = false;
  };
  range.addEventListener("input", show);
  show();
  await dialog(nameOf(t.person[track]), (done) => [
    picture,
    element("div", { class: "frames" }, button([element("span", {}, "Play"), element("kbd", {}, "p")], play, { id: "play" }), range),
    line,
    where,
    choices(button("Close", () => done(null))),
  ], true);
  playing = false;
  if (shown) URL.revokeObjectURL(shown);
}

// The videos have moved: where to?
function folder(again) {
  const input = element("input", { type: "text", id: "folder", value: review.media, autocomplete: "off", placeholder: "/Volumes/Dailies" });
  const problem = element("p", { class: "alert small", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    try {
      review.media = (await ask("media", { folder: input.value })).media;
      again();
    } catch (error) {
      problem.textContent = error.message;
    }
  };
  const label = element("label", { for: "folder" }, "The folder that the videos are in now");
  return element("form", { class: "moved", onsubmit: submit }, label, input, element("button", { type: "submit" }, "Look there"), problem);
}
