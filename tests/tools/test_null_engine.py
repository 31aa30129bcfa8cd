"""The engine without inference is fed as the engine `fast` is."""

from tools.null_engine import null_manifest

from bandrt.engine import NULL_ENGINE, SHIPPED_ENGINES, read_manifest


def test_it_is_what_the_tool_writes() -> None:
    assert read_manifest(NULL_ENGINE) == null_manifest(read_manifest(SHIPPED_ENGINES["fast"]))
