"""What a run records, in words."""

from __future__ import annotations

from bandrt.report.record import headline, run_facts


def test_a_merged_run_on_a_gpu_is_told() -> None:
    record = {
        "started": "2026-01-02T03:04:05+00:00",
        "inputs": [f"{number}.cif" for number in range(30)],
        "engine": {"path": "engines/fast.plan", "hand_over": {"engine": "other"}},
        "gpu": {"name": "NVIDIA L4", "memory_gb": 24, "mig": None},
        "options": {"threads": None, "retry_failed": True, "keep": ["a", "b"], "shard": "1/1"},
        "merge": {"runs": [{}, {}]},
        "counts": {"found": 0, "nested": {"deep": 1}},
    }
    assert headline(record) == "engine fast.plan, NVIDIA L4, 2026-01-02 03:04:05 UTC"
    facts = dict(run_facts(record))
    assert facts["inputs"].endswith("19.cif and 10 more")
    assert facts["merged of"] == "2 runs"
    assert facts["hands crystals over to"] == "other"
    assert facts["GPU"] == "name NVIDIA L4, memory_gb 24"
    assert facts["options"] == "retry_failed yes, keep a b"
    assert facts["counts"] == "found 0, nested deep 1"


def test_what_is_damaged_or_missing_is_left_out() -> None:
    assert run_facts({}) == []
    assert run_facts({"engine": 3, "inputs": "x", "counts": None, "recipe": []}) == []
    assert "nothing is known" in headline({})


def test_a_run_that_has_not_finished_says_so_at_the_top() -> None:
    for status in ("running", "interrupted"):
        assert headline({"bandrt_version": "1", "status": status}) == f"bandrt 1, not finished ({status}): more crystals may follow"
    assert headline({"bandrt_version": "1", "status": "finished"}) == "bandrt 1"
