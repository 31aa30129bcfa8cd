"""Files are whole or not there, and what cannot be written is found out before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandrt.errors import OutputError
from bandrt.files import check_cleared, check_file, check_folder, clear, first_foreign, remove_leftovers, replaced


def code_of(check: object, *arguments: object, **options: object) -> str:
    with pytest.raises(OutputError) as refused:
        check(*arguments, **options)  # type: ignore[operator]
    return refused.value.code


@pytest.mark.parametrize(
    "place",
    ["a-file/x.h5", "a-file/deep/x.h5", "link-to-nowhere/x.h5", "n" * 300],
    ids=["in a file", "deep in a file", "by a dangling link", "too long"],
)
def test_places_where_nothing_can_be_written_are_found_out(tmp_path: Path, place: str) -> None:
    (tmp_path / "a-file").write_text("mine")
    (tmp_path / "link-to-nowhere").symlink_to(tmp_path / "nowhere" / "deep")
    assert code_of(check_file, tmp_path / place) == "output-unwritable"
    assert code_of(check_folder, tmp_path / place) == "output-unwritable"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="this system has no /proc")
def test_a_system_that_refuses_is_found_out_even_for_an_administrator() -> None:
    assert code_of(check_file, Path("/proc/x.onnx")) == "output-unwritable"
    assert code_of(check_folder, Path("/proc/x")) == "output-unwritable"


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    check_file(tmp_path / "new" / "deep" / "x.h5")
    check_folder(tmp_path / "new" / "deep")
    check_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path, dangling = tmp_path / "x.h5", tmp_path / "link"
    path.write_text("mine")
    dangling.symlink_to(tmp_path / "nowhere")
    assert code_of(check_file, path) == code_of(check_file, dangling) == "output-exists"
    check_file(path, overwrite=True)
    assert path.read_text() == "mine"


def test_a_file_is_no_folder_a_folder_no_file_and_a_device_neither(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("mine")
    assert code_of(check_folder, path) == "output-not-a-folder"
    assert code_of(check_file, tmp_path, overwrite=True) == "output-not-a-file"
    assert code_of(check_file, Path("/dev/null"), overwrite=True) == "output-not-a-file"


def test_only_what_is_ours_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "part").write_text("")
    (tmp_path / ".part.tmp").write_text("")

    def is_ours(path: Path) -> bool:
        return path.parts[0] == "ours"

    (tmp_path / "notes").write_text("mine")
    assert first_foreign(tmp_path, is_ours) == Path("notes")
    assert code_of(check_cleared, tmp_path, is_ours) == "output-foreign"
    (tmp_path / "notes").unlink()
    (tmp_path / "ours" / "elsewhere").symlink_to(tmp_path.parent)
    check_cleared(tmp_path, is_ours)
    clear(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert tmp_path.parent.is_dir()


def test_a_file_whose_writing_fails_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("before")

    def fail() -> None:
        with replaced(path) as file:
            file.write("after")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("x", "before")]


def test_what_a_disk_has_no_room_for_is_named(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # a file system answers alike when it is full
        with pytest.raises(OSError, match="File too large") as caught, replaced(tmp_path / "x", "wb") as file:
            file.write(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_link_that_was_planted_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda n_bytes: "guessed")
    (tmp_path / "theirs").write_text("kept")
    (tmp_path / ".mine.guessed.tmp").symlink_to("theirs")
    with pytest.raises(FileExistsError), replaced(tmp_path / "mine") as file:
        file.write("new")
    assert (tmp_path / "theirs").read_text() == "kept"


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with replaced(tmp_path / "mine") as first:
        first.write("first")
        with replaced(tmp_path / "mine") as second:
            second.write("second")
    assert (tmp_path / "mine").read_text() == "first"
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".run.json.0a1b.tmp", ".part-00001.npz.0a1b.tmp", ".other.0a1b.tmp", "run.json"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, ("run.json", "part-*.npz"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.0a1b.tmp", "run.json"]
