"""A version's files have plain relative names, and stay in their folder."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanli.domain.errors import UsageError
from suanli.models.paths import DEPTH_MAX, FILES_MAX, check_path, check_paths, inside


@pytest.mark.parametrize(
    "path",
    [
        "model.safetensors",
        "1_Pooling/config.json",
        ".gitattributes",
        "a b.txt",
        "模型/权重.gguf",
        "a..b",
        "é.json",
    ],
)
def test_plain_paths_are_taken_as_they_are(path):
    assert check_path(path) == path


@given(st.text(max_size=40))
def test_whatever_passes_stays_inside_and_means_the_same_everywhere(tmp_path_factory, text):
    folder = tmp_path_factory.getbasetemp()
    try:
        check_path(text)
    except UsageError:
        with pytest.raises(UsageError):
            inside(folder, text)
    else:
        assert inside(folder, text).is_relative_to(folder.resolve())
        assert os.path.normpath(text) == text
        assert not text.startswith("/")


def test_a_link_that_leads_out_of_the_folder_is_refused_and_one_inside_is_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "folder" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "folder" / "up").symlink_to(tmp_path)
    (tmp_path / "folder" / "real").write_text("y")
    (tmp_path / "folder" / "in").symlink_to("real")
    for path in ("out", "up/secret"):
        with pytest.raises(UsageError):
            inside(tmp_path / "folder", path)
    assert inside(tmp_path / "folder", "in").read_text() == "y"


@pytest.mark.parametrize(
    "paths", [["a", "a"], ["a", "A"], ["a", "a/b"], ["A/x", "a"], [f"{i}" for i in range(FILES_MAX + 1)]]
)
def test_files_that_cannot_lie_side_by_side_everywhere_are_refused(paths):
    with pytest.raises(UsageError):
        check_paths(paths)
    check_paths(["a", "b/a", "ab", "a.b"])


def test_a_path_of_too_many_folders_is_refused():
    check_path("/".join("a" * DEPTH_MAX))
    with pytest.raises(UsageError):
        check_path("/".join("a" * (DEPTH_MAX + 1)))
