"""What `vcn doctor` says of a GPU: on a machine without one it is advice, and an obstacle only to who asks for one."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from machines import BARE, H100, WHOLE
from typer.testing import CliRunner

from vcn_trt import cli, doctor
from vcn_trt.backends import cuda
from vcn_trt.backends.cuda.stack import Found
from vcn_trt.errors import DeviceError
from vcn_trt.finding import Finding

Machine = Callable[[Found], None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Makes this machine another; whatever else it needs is there."""
    for part in ("_packages", "_weights"):
        monkeypatch.setattr(doctor, part, list)

    def become(found: Found) -> None:
        monkeypatch.setattr(doctor, "look", lambda: found)
        monkeypatch.setattr(cuda, "look", lambda: found)

    return become


def gpu(device: str = "auto") -> dict[str, Finding]:
    return {f.what: f for f in doctor.examine(device) if f.section == "GPU"}


def test_a_machine_without_a_card_is_healthy_and_is_told_what_it_would_take(machine: Machine) -> None:
    machine(BARE)
    for device in ("auto", "cpu"):
        found = gpu(device)
        assert {f.state for f in found.values()} == {"optional", "ok"}
        assert all(f.mend for f in found.values() if f.state == "optional")
        assert doctor.healthy(doctor.examine(device))
    assert found["--device auto"].found.startswith("takes the CPU: there is no NVIDIA driver; install one of 580")


def test_who_asks_for_a_card_is_told_what_is_missing(machine: Machine) -> None:
    machine(BARE)
    assert not doctor.healthy(doctor.examine("cuda:0"))
    assert {name for name, f in gpu("cuda:0").items() if f.state == "missing"} == {
        *("NVIDIA driver", "torch", "CuPy", "NVRTC", "TensorRT")
    }
    machine(WHOLE)
    assert doctor.healthy(doctor.examine("cuda:1"))
    assert not doctor.healthy(doctor.examine("cuda:2"))
    with pytest.raises(DeviceError, match="unknown device 'gpu'"):
        doctor.examine("gpu")


def test_cards_have_a_line_with_capability_and_memory(machine: Machine) -> None:
    machine(WHOLE)
    found = gpu()
    assert found["NVIDIA driver"].found == "driver 580.95.05 serves CUDA up to 13.0"
    assert found["NVIDIA card"].found == f"cuda:0 {H100.name}, 9.0, 80 GiB; cuda:1 {H100.name}, 9.0, 80 GiB"
    assert found["torch"].found == "2.13.0 for CUDA 13.0"


@pytest.mark.parametrize(("reason", "said"), [("", "takes cuda:0"), ("of this", "takes the CPU: of this")])
def test_the_last_line_is_what_auto_takes(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, reason: str, said: str
) -> None:
    machine(WHOLE)
    monkeypatch.setattr(doctor, "why_not", lambda: reason)
    last = doctor.examine()[-1]
    assert (last.what, last.found) == ("--device auto", said)


def test_the_command_line_has_the_section_and_the_exit_status(machine: Machine) -> None:
    machine(BARE)
    said = CliRunner().invoke(cli.app, ["doctor"])
    assert said.exit_code == 0
    head, _, section = said.output.partition("\nGPU\n")
    assert "VCN_HOME" in head
    assert section.startswith("optional  NVIDIA driver: there is no NVIDIA driver\n          -> install one of 580")
    said = CliRunner().invoke(cli.app, ["doctor", "--device", "cuda:0", "--json"])
    assert said.exit_code == 1
    answer = json.loads(said.output)
    assert answer["healthy"] is False
    assert next(f["what"] for f in answer["findings"] if f["state"] == "missing") == "NVIDIA driver"
