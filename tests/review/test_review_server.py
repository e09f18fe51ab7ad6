"""The review server over HTTP: who is let in, what each edit answers, two windows at once, and what is refused."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from served import Served, labels, served

from vcn_trt import cast
from vcn_trt.corrections import edit as editing
from vcn_trt.corrections.edit import append
from vcn_trt.corrections.fold import Edit
from vcn_trt.corrections.log import FILE, read
from vcn_trt.errors import RunError
from vcn_trt.review.run import Review

ANNA, BEA, CARA = [0, 1, 2, 3], [4, 5, 6], [7, 8]


def test_the_address_with_the_token_gives_the_page_and_what_it_shows(server: Served) -> None:
    assert server.address.startswith("http://127.0.0.1:")
    for path, kind in (("", "text/html"), ("review.css", "text/css"), ("review.js", "text/javascript")):
        assert server.ask(path).headers["content-type"].startswith(kind)
    whole = server.ask("data")
    assert whole.headers["cache-control"] == "no-store"
    assert [p["name"] for p in whole.tree["data"]["people"]] == ["Person 1", "Person 2", "Person 3"]
    assert whole.tree["data"]["tracks"]["person"] == [1] * 4 + [2] * 3 + [3] * 2 + [-1] * 2
    assert whole.tree["review"]["read_only"] == ""
    picture = server.ask(whole.tree["data"]["pictures"]["5"])
    assert picture.headers["content-type"] == "image/webp"
    shown = cv2.imdecode(np.frombuffer(picture.body, np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (112, 112, 3)
    assert abs(float(shown.mean()) - 100) < 3  # track 5 is of grey 100


@pytest.mark.parametrize("path", ["/", "/data", "/wrong/", "/wrong/data", "//data", "/favicon.ico"])
def test_without_the_token_nothing_is_told(server: Served, path: str) -> None:
    reply = server.ask(path)
    assert reply.status == 403
    assert b"lacks the token" in reply.body
    assert b"Person" not in reply.body


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1"},  # another server's
        {"host": "evil.example:80"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "https://127.0.0.1"},
    ],
)
def test_another_page_of_the_browser_cannot_drive_it(server: Served, run: Path, headers: dict[str, str]) -> None:
    assert server.ask("data", **headers).status == 403
    assert server.ask("edit", {"kind": "reject", "tracks": [0], "people": []}, **headers).status == 403
    assert not (run / FILE).exists()


def test_its_own_origin_and_both_its_names_are_let_in(server: Served) -> None:
    assert server.ask("data", origin=server.origin).status == 200
    assert (
        server.ask("data", host=server.origin.removeprefix("http://").replace("127.0.0.1", "localhost")).status == 200
    )


def test_no_answer_may_be_framed_or_sniffed_or_read_by_other_pages(server: Served) -> None:
    for path in ("", "data", "/nothing"):
        headers = server.ask(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert not any(name.startswith("access-control") for name in headers)


def test_an_edit_is_in_the_log_and_in_the_answer_before_it_is_told(server: Served, run: Path) -> None:
    reply = server.edit("merge", people=[ANNA, BEA])
    assert reply.status == 200
    assert [e.kind for e in read(run).events] == ["merge"]
    assert labels(run) == [1] * 7 + [2] * 2 + [-1] * 2
    assert [p["name"] for p in reply.tree["answer"]["people"]] == ["Person 1", "Person 2"]
    assert reply.tree["review"]["undo"]["kind"] == "merge"
    assert server.review.edited


def test_every_kind_of_edit_and_the_way_back(server: Served, run: Path) -> None:
    steps = [labels(run)]
    for kind, parts in (
        ("name", {"people": [BEA], "name": " Bea "}),
        ("split", {"tracks": [3], "people": [ANNA[:3]]}),
        ("move", {"tracks": [9], "people": [BEA]}),
        ("reject", {"tracks": [10], "people": []}),
        ("reject", {"tracks": [8], "people": [[7]]}),
        ("different", {"people": [[0, 1, 2], [4, 5, 6, 9]]}),
    ):
        reply = server.edit(kind, **parts)
        assert reply.status == 200, reply.body
        steps.append(labels(run))
    assert cast.find("Bea", cast.names(run))
    assert steps[-1][3] not in (steps[-1][0], -1)
    assert steps[-1][9] == steps[-1][4]
    assert (steps[-1][8], steps[-1][10]) == (-1, -1)
    for expected in steps[-2::-1]:
        undone = server.ask("undo", {"id": server.ask("answer").tree["review"]["undo"]["id"]})
        assert undone.status == 200
        assert labels(run) == expected
    assert undone.tree["review"]["undo"] is None
    for expected in steps[1:]:
        server.ask("redo", {"id": server.ask("answer").tree["review"]["redo"]["id"]})
        assert labels(run) == expected


def test_what_another_window_or_a_command_has_done_is_told(server: Served, run: Path) -> None:
    version = server.ask("data").tree["review"]["version"]
    assert server.ask(f"answer?version={version}").status == 204
    append(run, Edit("merge", people=(tuple(ANNA), tuple(BEA))))
    found = server.ask(f"answer?version={version}")
    assert found.status == 200
    assert found.tree["answer"]["tracks"]["person"][4] == 1
    assert server.ask(f"answer?version={found.tree['review']['version']}").status == 204


def test_an_edit_of_people_who_are_others_by_now_is_refused_and_brings_them(server: Served, run: Path) -> None:
    assert server.edit("split", tracks=[3], people=[ANNA[:3]]).status == 200
    for kind, parts in (
        ("name", {"people": [ANNA], "name": "Anna"}),
        ("merge", {"people": [ANNA, BEA]}),
        ("split", {"tracks": [0], "people": [[1, 2, 3]]}),
        ("move", {"tracks": [9], "people": [ANNA]}),
        ("reject", {"tracks": [3], "people": [[0, 1, 2]]}),
    ):
        reply = server.edit(kind, **parts)
        assert reply.status == 409, kind
        assert "changed meanwhile" in reply.tree["error"]
        assert reply.tree["answer"]["tracks"]["person"][3] != reply.tree["answer"]["tracks"]["person"][0]
    assert len(read(run).events) == 1
    assert server.edit("merge", people=[BEA, CARA]).status == 200  # of whom nothing has changed


def test_a_contradiction_is_told_with_both_shown_and_the_earlier_one_can_go(server: Served, run: Path) -> None:
    first = server.edit("different", people=[ANNA, BEA]).tree["did"]["id"]
    reply = server.edit("merge", people=[ANNA, BEA])
    assert reply.status == 409
    found = reply.tree["contradiction"]
    assert found["other"] == first
    assert "are one person contradicts different" in found["why"]
    assert len(read(run).events) == 1
    assert server.ask("undo", {"id": first}).status == 200
    assert server.edit("merge", people=[ANNA, BEA]).status == 200
    assert server.ask("redo", {"id": first}).tree["contradiction"]["why"]


def test_edits_at_once_are_all_kept(server: Served, run: Path) -> None:
    replies: list[Any] = []
    threads = [
        threading.Thread(target=lambda t=t: replies.append(server.edit("reject", tracks=[t], people=[])))
        for t in range(9)
    ]
    threads += [threading.Thread(target=lambda: server.ask("data")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.status for r in replies] == [200] * 9
    assert labels(run) == [-1] * 11
    assert len(read(run).events) == 9


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ([], "expected an edit"),
        ({"kind": "undo"}, "expected an edit"),
        ({"kind": "merge", "people": 3}, "people as lists"),
        ({"kind": "merge", "people": [["0"]]}, "list of track numbers"),
        ({"kind": "merge", "people": [[True]]}, "list of track numbers"),
        ({"kind": "merge", "people": [ANNA]}, "two people or more"),
        ({"kind": "merge", "people": [ANNA, ANNA]}, "named twice"),
        ({"kind": "name", "people": [], "name": "A"}, "one person"),
        ({"kind": "name", "people": [ANNA], "name": 3}, "a name is a text"),
        ({"kind": "reject", "tracks": [99], "people": []}, "no track 99"),
        ({"kind": "reject", "tracks": [-1], "people": []}, "no track -1"),
        ({"kind": "split", "tracks": [], "people": []}, "which tracks"),
        (b"{", "expected JSON"),
        (b"\xff", "expected JSON"),
        (b"[" * 100_000, "expected JSON"),
        (b" " * (9 << 20), "more than 8 MB"),
    ],
)
def test_what_cannot_be_meant_is_told_and_changes_nothing(server: Served, run: Path, tree: Any, said: str) -> None:
    reply = server.ask("edit", tree)
    assert (reply.status, said in reply.tree["error"]) == (400, True), reply.body
    assert not (run / FILE).exists()


def test_only_json_is_taken_so_that_no_form_can_send_it(server: Served, run: Path) -> None:
    body = json.dumps({"kind": "reject", "tracks": [0], "people": []}).encode()
    assert server.ask("edit", body, content_type="text/plain").status == 400
    assert server.ask("edit").status == 405
    assert server.ask("undo", {"id": 3}).status == 400
    assert server.ask("undo", {"id": "abc"}).status == 400
    assert server.ask("nothing").status == 404
    assert server.ask("picture/99/0").status == 400
    assert not (run / FILE).exists()


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "אנה\u202e", "👩🏽‍🚀", "a/b\\c\"'", "\udcff", "</title>&"]
)
def test_hostile_names_come_back_as_they_are(server: Served, run: Path, name: str) -> None:
    reply = server.edit("name", people=[ANNA], name=name)
    assert reply.status == 200
    assert reply.tree["answer"]["people"][0]["name"] == name
    assert b"<script>" not in reply.body
    assert cast.names(run)[1] == name


def test_suggestions_are_the_likeliest_pair_first_and_are_not_asked_again(server: Served, run: Path) -> None:
    first = server.ask("suggestions").tree[0]
    assert {server.ask("data").tree["data"]["tracks"]["person"][t] for t in first["tracks"]} == {1, 2}
    server.edit("different", people=[ANNA, BEA])
    assert all(set(s["tracks"]) != set(first["tracks"]) for s in server.ask("suggestions").tree)
    (run / "embeddings.npz").unlink()
    gone = server.ask("suggestions")
    assert (gone.status, "embeddings.npz is gone" in gone.tree["error"]) == (409, True)
    assert "no embeddings.npz" in server.ask("map").tree["note"]


def test_a_run_that_is_read_only_is_shown_and_not_corrected(run: Path) -> None:
    (run / ".work").write_text("")  # as a folder that takes no files, whoever runs the test
    with served(run) as server:
        assert server.ask("data").tree["review"]["read_only"]
        assert server.ask("suggestions").status == 200
        reply = server.edit("reject", tracks=[0], people=[])
        assert (reply.status, "make it writable" in reply.tree["error"]) == (409, True)
    assert not (run / FILE).exists()


def test_a_run_that_another_process_works_in_is_corrected_later(
    server: Served, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    monkeypatch.setattr(editing, "PATIENCE", 0.05)
    server.edit("reject", tracks=[0], people=[])
    with (run / ".work" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        reply = server.edit("reject", tracks=[1], people=[])
    assert (reply.status, "another process works" in reply.tree["error"]) == (409, True)
    assert server.edit("reject", tracks=[1], people=[]).status == 200


def test_an_answer_that_is_half_written_leaves_the_page_as_it_was(server: Served, run: Path) -> None:
    version = server.ask("data").tree["review"]["version"]
    content = (run / "clusters.json").read_text()
    (run / "clusters.json").write_text(content[:100])
    assert server.ask(f"answer?version={version}").status == 204
    assert server.ask("data").status == 200
    (run / "clusters.json").write_text(content.replace('"name": null', '"name": "Bea"', 1))
    assert server.ask(f"answer?version={version}").tree["answer"]["people"][0]["name"] == "Bea"


@pytest.mark.parametrize(
    ("change", "said"),
    [({"state": "running"}, "no finished run"), ({"schema": "vcn-trt/run/2"}, "install the version that wrote it")],
)
def test_half_a_run_and_one_of_a_newer_version_do_not_open(run: Path, change: dict[str, str], said: str) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | change))
    with pytest.raises(RunError, match=said):
        Review(run)
