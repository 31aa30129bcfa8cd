"""What a contributor is told is true: paths, commands and names exist, forms and workflows are well formed, promises kept."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import bandrt
from bandrt.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
YAML_FILES = [
    *FORMS,
    ROOT / ".github/ISSUE_TEMPLATE/config.yml",
    ROOT / ".github/workflows/ci.yml",
    ROOT / ".pre-commit-config.yaml",
]
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / ".github" / "pull_request_template.md", *FORMS]
TOP = r"(?:runtime|train|export|tests|tools|benchmarks|docs|examples|\.ci|\.github)/"
EXTRAS = {
    *("cpu", "cuda", "nv-tensorrt-rtx", "tensorrt", "tensorrt-rtx", "pymatgen", "ase", "plot", "hdf5", "parquet", "ray", "report"),
    *("train", "tensorboard", "mp", "export", "dev", "docs"),
}
"""Names that users rely on."""
PROGRAMS_OF = {
    "pre-commit-hooks": {"end-of-file-fixer", "check-added-large-files", "check-merge-conflict"},
    "pytest": {"pytest"},
    "ruff": {"ruff"},
    "mypy": {"mypy"},
    "pre-commit": {"pre-commit"},
}
"""Programs of `.venv/bin` by the package of the extra `dev` that brings them."""
NAMED = {
    "Format": "runtime/bandrt/readers/__init__.py",
    "FORMATS": "runtime/bandrt/readers/__init__.py",
    "Variant": "runtime/bandrt/manifest.py",
    "OwnVariant": "train/bandrt_train/model/config.py",
    "CONFIGS": "train/bandrt_train/model/variants.py",
    "GRAPHS": "train/bandrt_train/data/recipes.py",
    "REFERENCES": "train/bandrt_train/model/bandformer.py",
    "DENSE": "export/bandrt_export/dense/bandformer.py",
    "Session": "runtime/bandrt/engine/session.py",
    "open_session": "runtime/bandrt/engine/__init__.py",
    "read_manifest": "runtime/bandrt/engine/__init__.py",
}
"""What CONTRIBUTING.md sends a contributor to, and where it says that it stands."""

WORKER_POOL = ("runtime/bandrt/run/workers.py", "runtime/bandrt/run/worker_process.py")
"""The two ends of a pipe: each reads what the process of the other sends, and no file."""


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def yaml_of(path: Path) -> Any:
    return yaml.safe_load(text_of(path))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text_of(page))
    named = re.findall(rf"(?<![\w./-])({TOP}[\w./-]*)", text_of(page).replace("FORMAT.py", ""))
    for target in {*links, *named}:
        path = ROOT / target.rstrip(".")
        assert path.exists() or (target.endswith("_") and path.parent.exists()), f"{page.name} names {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    assert set(re.findall(r"`bandrt ([a-z-]+)", text_of(page))) <= set(COMMANDS)
    programs = set(re.findall(r"\.venv/bin/([\w-]+)", text_of(page))) - {"pip"}
    assert programs <= programs_of_dev()


def programs_of_dev() -> set[str]:
    """Programs that the extra `dev` brings."""
    packages = {re.split(r"[\[><=]", requirement)[0] for requirement in PROJECT["optional-dependencies"]["dev"]}
    return {program for package, programs in PROGRAMS_OF.items() if package in packages for program in programs}


@pytest.mark.parametrize(("name", "path"), NAMED.items())
def test_what_contributors_are_sent_to_stands_where_it_is_said(name: str, path: str) -> None:
    guide = text_of(ROOT / "CONTRIBUTING.md")
    assert f"`{name}`" in guide
    assert f"`{path}`" in guide
    tree = ast.parse(text_of(ROOT / path))
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        defined |= {target.id for target in targets if isinstance(target, ast.Name)}
    assert name in defined


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.name)
def test_every_yaml_file_is_a_mapping(path: Path) -> None:
    assert isinstance(yaml_of(path), dict)


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_one(form: Path) -> None:
    content = yaml_of(form)
    assert content.keys() == {"name", "description", "labels", "body"}
    ids = [field["id"] for field in content["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids)) > 0
    for field in content["body"]:
        assert field["type"] in {"markdown", "textarea", "checkboxes"}
        assert field["attributes"]["value" if field["type"] == "markdown" else "label"]


@pytest.mark.parametrize("name", ["bug", "prediction"])
def test_reports_of_problems_ask_what_the_machine_can_do(name: str) -> None:
    [field] = [field for field in yaml_of(ROOT / f".github/ISSUE_TEMPLATE/{name}.yml")["body"] if field.get("id") == "doctor"]
    assert "bandrt doctor --json" in field["attributes"]["label"]
    assert field["validations"]["required"]


def test_the_workflow_runs_everything_on_every_python_that_is_promised() -> None:
    workflow = yaml_of(ROOT / ".github" / "workflows" / "ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    test = workflow["jobs"]["test"]
    promised = [c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", c)]
    assert test["strategy"]["matrix"]["python"] == promised
    assert PROJECT["requires-python"] == f">={promised[0]}"
    [step] = [step for step in test["steps"] if step.get("run") == "bash .ci/run"]
    assert step["env"]["PYTHON"] == "python${{ matrix.python }}"
    assert '"${PYTHON:-python3.11}"' in text_of(ROOT / ".ci" / "run")


def test_hooks_come_from_the_environment_of_contributors() -> None:
    for repository in yaml_of(ROOT / ".pre-commit-config.yaml")["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            assert hook["language"] == "system"
            assert hook["entry"].split()[0].removeprefix(".venv/bin/") in programs_of_dev()


def test_the_citation_is_of_this_version_and_of_the_paper() -> None:
    citation = yaml_of(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["version"] == bandrt.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == PROJECT["urls"]["Repository"]
    [paper] = citation["references"]
    assert paper["url"] == PROJECT["urls"]["Paper"]
    assert paper["doi"] == "10.48550/arXiv." + paper["url"].rsplit("/", 1)[1]


def test_the_extras_that_users_rely_on_exist() -> None:
    extras = PROJECT["optional-dependencies"]
    assert set(extras) >= EXTRAS
    assert all(extras.values())


def parsed(*folders: str) -> Iterator[tuple[Path, ast.AST]]:
    """Every node of the source of some packages, with its file."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(text_of(path))):
                yield path, node


def test_no_file_is_unpickled_or_evaluated() -> None:
    safe = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
    for path, node in parsed("runtime/bandrt", "export/bandrt_export", "train/bandrt_train"):
        if isinstance(node, ast.ImportFrom):
            assert node.module not in {"pickle", "shelve", "marshal", "dill", "joblib"}, path
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if path.relative_to(ROOT).as_posix() in WORKER_POOL:
                continue
            assert called not in {"eval", "exec", "pickle.load", "pickle.loads", "pickle.Unpickler"}, f"{path}:{node.lineno}"
            if called in safe:
                name, value = safe[called]
                given = {keyword.arg: keyword.value for keyword in node.keywords}
                assert ast.literal_eval(given[name]) is value, f"{path}:{node.lineno}"


def test_the_runtime_has_nothing_to_open_a_connection_with() -> None:
    for path, node in parsed("runtime/bandrt"):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for module in modules:
                assert module.split(".")[0] not in {"socket", "ssl", "http", "ftplib", "smtplib", "requests", "httpx", "urllib3"}, (
                    path
                )
                assert not module.startswith("urllib.request"), path
