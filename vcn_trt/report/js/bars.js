// Stretches of frames along a video, as one drawing that grows with the page.

const SPAN = 10000; // units along a bar
const LEAST = 14; // so that a glimpse in a long film can still be seen

// One path for all stretches: a film has thousands. stretches: [start, stop) in parts of the whole, from 0 to 1.
function plainBar(stretches, label, colour, edges = []) {
  const path = stretches
    .map(([start, stop]) => {
      const width = Math.max(LEAST, Math.round((stop - start) * SPAN));
      return `M${Math.min(SPAN - width, Math.round(start * SPAN))} 0h${width}v10h-${width}z`;
    })
    .join("");
  return bar(label, colour, drawn("path", { d: path }), edges.map(edge));
}

// A stretch each that can be pressed. tracks: their numbers; press: what a track does.
function pressedBar(tracks, video, label, colour, press) {
  const t = report.tracks;
  const stretches = tracks.map((track) => {
    const x = Math.round((t.start[track] / video.frames) * SPAN);
    const width = Math.max(LEAST, Math.round(((t.stop[track] - t.start[track]) / video.frames) * SPAN));
    const place = { x: Math.min(SPAN - width, x), y: 0, width, height: 10 };
    const title = drawn("title", {}, `Shot ${t.shot[track]}, ${t.timecode[track]}, ${clock(t.seconds[track])}`);
    return drawn("a", { onclick: () => press(track), "data-track": track }, title, drawn("rect", place));
  });
  return bar(label, colour, stretches);
}

function bar(label, colour, ...children) {
  const { class: kind, ...rest } = colour;
  const box = { viewBox: `0 0 ${SPAN} 10`, preserveAspectRatio: "none", role: "img", "aria-label": label };
  return drawn("svg", { class: `bar ${kind ?? ""}`, ...rest, ...box }, ...children);
}

function edge(at) {
  return drawn("line", { class: "edge", x1: at * SPAN, x2: at * SPAN, y1: 0, y2: 10 });
}

// Round times along so many seconds, about as many as fit.
function ticks(seconds, room) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
  const step = steps.find((s) => seconds / s <= room) ?? 14400 * Math.ceil(seconds / room / 14400);
  return Array.from({ length: Math.floor(seconds / step) + 1 }, (_, i) => i * step);
}
