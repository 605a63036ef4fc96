"""Reading a site file as text (SC-1): what is refused is refused with its line and a remedy, never with a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from busbar.config.load import check_site, check_text
from busbar.config.text import MAX_BYTES, parse_document, read_document
from unit.site_files import DEMO, demo, packages


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: on", "on"),
        ("a: no", "no"),
        ("a: 12:30", "12:30"),
        ("a: 2024-01-01", "2024-01-01"),
        ("a: 1e3", 1000.0),
        ("a: -2", -2),
        ("a: .5", 0.5),
        ("a: 007", 7),
        ("a: true", True),
        ("a: False", False),
        ("a: ~", None),
        ("a:", None),
        ("a: '5'", "5"),
        ('a: "true"', "true"),
        ("a: 0x10", "0x10"),
        ("a: 1_000", "1_000"),
    ],
)
def test_a_plain_value_means_what_a_person_reads(text: str, value: object) -> None:
    document = parse_document(text)
    assert document.problems == []
    assert document.data == {"a": value}
    assert isinstance(document.data, dict)
    assert type(document.data["a"]) is type(value)


@pytest.mark.parametrize(
    ("text",                                  "code",       "line"),
    [
        ("",                                  "empty",      0),
        ("  \n\n",                            "empty",      0),
        ("# only a comment\n",                "empty",      0),
        ("a: 1\na: 2\n",                      "double_key", 2),
        ("a: {b: 1,\n b: 2}\n",               "double_key", 2),
        ("a: &x 1\n",                         "alias",      1),
        ("a: 1\nb: *x\n",                     "alias",      2),
        ("a: 1\nb: !!python/name:os.system\n", "tag",       2),
        ("a: !x 1\n",                         "tag",        1),
        ("--- {a: 1}\n--- {b: 2}\n",          "documents",  2),
        ("? [a]\n: 1\n",                      "key",        1),
        ("a: .nan\n",                         "not_finite", 1),
        ("a: 1\nb: -.inf\n",                  "not_finite", 2),
        ("a: 1e999\n",                        "not_finite", 1),
        ("a: Infinity\n",                     "not_finite", 1),
        ("a: 'open\n",                        "syntax",     2),
        ("a: b: c\n",                         "syntax",     1),
        ("a:\n\t- 1\n",                       "syntax",     2),
        ("a: \x07\n",                         "syntax",     0),
        ("[" * 40,                            "too_deep",   1),
    ],
)  # fmt: skip
def test_what_a_site_file_never_needs_is_refused_with_its_line(text: str, code: str, line: int) -> None:
    problems = check_text(text, packages=packages).errors
    assert problems[0].code == code, problems
    assert problems[0].line == line
    assert problems[0].remedy


def test_an_alias_bomb_costs_nothing() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
    document = parse_document(bomb)
    assert {problem.code for problem in document.problems} == {"alias"}
    assert len(document.lines) < 400


def test_deep_nesting_ends_early_and_not_in_a_recursion_error() -> None:
    assert [p.code for p in parse_document("[" * 200_000).problems] == ["too_deep"]
    assert parse_document("[" * 200_000, as_json=True).problems[0].code == "syntax"


@pytest.mark.parametrize(
    ("content",                 "code",       "says"),
    [
        (b"a: \xff\n",          "not_utf8",   "UTF-8"),
        (b"x" * (MAX_BYTES + 1), "too_large", "4 MiB"),
        (b"",                   "empty",      "empty"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_text_of_reasonable_size_gets_one_clear_message(
    tmp_path: Path, content: bytes, code: str, says: str
) -> None:
    path = tmp_path / "site.yaml"
    path.write_bytes(content)
    (problem,) = check_site(path, packages).problems
    assert (problem.code, says in problem.message) == (code, True)


def test_a_missing_file_and_a_directory_get_one_clear_message(tmp_path: Path) -> None:
    assert [p.message for p in read_document(tmp_path / "none.yaml").problems] == [
        "the file cannot be read: No such file or directory"
    ]
    assert [p.message for p in read_document(tmp_path).problems] == ["the file cannot be read: Is a directory"]


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + DEMO.read_bytes())
    assert check_site(path, packages).problems == ()


def test_the_line_of_every_value_is_known() -> None:
    document = parse_document("a:\n  - x: 1\n    y:\n      z: 2\n  - 3\n")
    expected = {"a[0]": 2, "a[0].x": 2, "a[0].y.z": 4, "a[1]": 5, "a[0].nothing": 2, "a[7]": 2, "b": 1}
    assert {path: document.line(path) for path in expected} == expected


def test_json_and_yaml_of_one_site_are_one_site(tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    path.write_text(json.dumps(demo(), indent="\t"), "utf-8")
    as_json, as_yaml = check_site(path, packages), check_site(DEMO, packages)
    assert as_json.site is not None
    assert as_yaml.site is not None
    assert as_json.site.fingerprint == as_yaml.site.fingerprint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'{"a": "\ud83d\ude00"}', "😀"),
        (r'{"a": "\\ud83d"}', r"\ud83d"),
        (r'{"a": "\/ \" \\ \n"}', '/ " \\ \n'),
        ('{"a":\t"x",\t"b":1}', "x"),
        ('{"a":"yes"}', "yes"),
    ],
)
def test_json_text_means_what_json_says(text: str, value: str) -> None:
    document = parse_document(text, as_json=True)
    assert document.problems == []
    assert isinstance(document.data, dict)
    assert document.data["a"] == json.loads(text)["a"] == value


def test_broken_json_names_its_line() -> None:
    (problem,) = parse_document('{"a": 1,\n "b": }', as_json=True).problems
    assert (problem.code, problem.line) == ("syntax", 2)
