// What the server is asked for, and what is shown of its answers: the same page again, at the same place.

const EVERY = 1500; // milliseconds between two looks for what another window has done

let review; // what the pages need for correcting
let gone = false; // the server has ended

// -> the tree that the server sends, null for "nothing new". Throws an Error with what it said: status, tree.
async function ask(address, body) {
  const sent = body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(address, sent);
  } catch {
    gone = true;
    throw new Error("vcn review has ended: start it again, and open the address that it prints");
  }
  gone = false;
  if (response.status === 204) return null;
  if (response.ok) return response.headers.get("content-type") === "application/json" ? response.json() : response.blob();
  const text = await response.text();
  const tree = text.startsWith("{") ? JSON.parse(text) : { error: text.trim() };
  throw Object.assign(new Error(tree.error), { status: response.status, tree });
}

// Shows an answer of the server: { answer, review }, as after an edit of any window.
function adopt(found) {
  if (review && review.film !== found.review.film) return location.reload(); // other videos
  const [, view, number] = location.hash.split("/");
  const own = view === "person" ? (members.get(Number(number)) ?? []) : [];
  const focus = document.activeElement?.dataset?.key;
  const reading = document.activeElement?.closest("#view") !== null;
  const map = report.map;
  review = found.review;
  Object.assign(report, found.answer, { map, tracks: { ...report.tracks, ...found.answer.tracks } });
  if (own.length) follow(own);
  const at = window.scrollY;
  take(report, facts);
  window.scrollTo(0, at);
  const again = focus && document.querySelector(`[data-key="${CSS.escape(focus)}"]`);
  (again || (reading && document.querySelector("#view h1")))?.focus?.({ preventScroll: true });
}

// A person has another number after an edit: the page goes on with whoever has most of these tracks.
function follow(own) {
  const votes = new Map();
  for (const track of own) votes.set(report.tracks.person[track], (votes.get(report.tracks.person[track]) ?? 0) + 1);
  const [now] = [...votes].filter(([number]) => number > 0).sort((a, b) => b[1] - a[1])[0] ?? [];
  history.replaceState(null, "", now ? `#/person/${now}` : "#/cast");
}

async function look() {
  if (!review || document.hidden || busy) return;
  try {
    const version = review.version;
    const found = await ask(`answer?version=${version}`);
    if (found && !busy && review.version === version) {
      adopt(found);
      say("Up to date with what was corrected elsewhere.");
    }
  } catch (error) {
    complain(error);
  }
}
