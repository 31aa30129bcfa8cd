"""The check that a change of the code changes no energy notices when one does."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def same_bytes() -> ModuleType:
    return load_script(ROOT / "tools" / "same_bytes.py")


@pytest.fixture
def table(examples: Path, tmp_path: Path) -> Path:
    """Two crystals, and one that is none."""
    path = tmp_path / "table.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["material_id", "cif"])
        for name in ("GaAs_mp-8883", "NiAl_mp-1487"):
            rows.writerow([name, (examples / f"{name}.cif").read_text(encoding="utf-8")])
        rows.writerow(["broken", "data_broken\n"])
    return path


def test_it_says_which_crystal_has_changed(
    same_bytes: ModuleType, examples: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "before.json"
    assert same_bytes.main(["record", str(report), str(table)]) == 0
    found = json.loads(report.read_text(encoding="utf-8"))
    n_examples = sum(path.name not in ("README.md", "LICENSE") for path in examples.iterdir())
    assert len(found) == 2 * (n_examples + 3)
    assert all(found[f"{engine}: broken"].startswith("failure ") for engine in ("fast", "accurate"))
    assert found["fast: GaAs_mp-8883"] == found["fast: GaAs_mp-8883.cif"], "one crystal, from a file and from the table"
    assert found["fast: GaAs_mp-8883"] != found["accurate: GaAs_mp-8883"]
    assert same_bytes.main(["compare", str(report), str(table)]) == 0
    assert f"{len(found)} of {len(found)} predictions the same" in capsys.readouterr().out
    report.write_text(json.dumps(found | {"accurate: NiAl_mp-1487": "another"}), encoding="utf-8")
    assert same_bytes.main(["compare", str(report), str(table)]) == 1
    assert "accurate: NiAl_mp-1487: another before" in capsys.readouterr().out
