// Each correction: what is asked of the server, and what is told when it cannot hold.

let busy = false; // one edit at a time

const DONE = {
  name: "Named.", merge: "Merged: one person.", same: "One person.", different: "Two people, and not asked again.",
  split: "Split off: a person of their own.", move: "Moved.", reject: "Taken out.", undo: "Undone.", redo: "Done again.",
};

// -> whether it was made
async function correct(edit, address = "edit") {
  if (busy) return false;
  if (review.read_only) return say(`This run is read-only (${review.read_only}).`), false;
  busy = true;
  try {
    const found = await ask(address, edit);
    picked.clear();
    adopt(found);
    say([DONE[found.did.kind], ...found.told].join(" "));
    return true;
  } catch (error) {
    if (error.tree?.answer) adopt(error.tree);
    complain(error);
    if (!error.tree?.contradiction) return false;
    busy = false;
    return contradicted(error.tree.contradiction, edit, address);
  } finally {
    busy = false;
  }
}

// Both are shown; the earlier one can be taken back for this one.
async function contradicted({ other, why }, edit, address) {
  if (!other) return false;
  const go = await confirmed("This contradicts an earlier correction", [why, "Nothing was changed."], "Undo the earlier one and do this");
  if (!go) return say("Nothing was changed."), false;
  return (await correct({ id: other }, "undo")) && correct(edit, address);
}

const turned = (kind, row) => row && correct({ id: row.id }, kind);
const whole = (number) => members.get(number);

const merge = (numbers) => correct({ kind: "merge", people: numbers.map(whole) });
const different = (numbers) => correct({ kind: "different", people: numbers.map(whole) });
const split = (tracks) => correct({ kind: "split", tracks, people: rests(tracks) });
const reject = (tracks, people) => correct({ kind: "reject", tracks, people });

async function move(tracks) {
  const from = [...new Set(tracks.map((t) => report.tracks.person[t]))];
  const to = await someone(`Move ${counted(tracks.length, "track")} to`, from.length === 1 ? from : []);
  if (to === null || !members.has(to)) return;
  const there = whole(to).filter((t) => !tracks.includes(t));
  if (there.length) await correct({ kind: "move", tracks, people: [there] });
}

async function rename(number) {
  const person = personOf(number);
  if (!person || review.read_only) return;
  const own = whole(number); // as it is shown now, whatever comes meanwhile
  const known = report.people.filter((p) => p.named && p.number !== number).map((p) => p.name);
  const found = await typed("Name this person", "Name (empty takes it away)", person.named ? person.name : "", known);
  if (found === null || found === (person.named ? person.name : "")) return;
  const other = found && report.people.find((p) => p.name === found && !own.includes(members.get(p.number)[0]));
  if (!other) return correct({ kind: "name", people: [own], name: found });
  if (await confirmed(`There is a person of that name: ${found}`, "Are they one person?", "One person: merge")) {
    return correct({ kind: "merge", people: [whole(other.number), own] });
  }
}

async function mergeWith(number) {
  const own = whole(number);
  const other = await someone("The same person as", [number]);
  if (other !== null && members.has(other)) await correct({ kind: "merge", people: [own, whole(other)] });
}
