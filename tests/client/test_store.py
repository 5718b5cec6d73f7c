"""client.store: on the disk when it is done, and whole."""

import pytest

from client.store import Store, directory


def test_what_is_set_is_there_after_a_restart(tmp_path):
    path = tmp_path / "states" / "mine.json"
    store = Store(path)
    assert dict(store) == {}
    store["seen"] = {"a": [1, 2]}
    store["other"] = None
    del store["other"]
    assert dict(Store(path)) == {"seen": {"a": [1, 2]}}
    assert [each.name for each in path.parent.iterdir()] == ["mine.json"]


def test_what_json_cannot_say_changes_nothing(tmp_path):
    store = Store(tmp_path / "mine.json")
    store["a"] = 1
    with pytest.raises(TypeError):
        store["b"] = object()
    with pytest.raises(KeyError):
        del store["c"]
    assert dict(store) == dict(Store(tmp_path / "mine.json")) == {"a": 1}


@pytest.mark.parametrize("text", ["[1]", "{", "1"])
def test_another_file_is_refused_by_name(tmp_path, text):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"mine\.json is not the store of a script"):
        Store(path)
    assert path.read_text() == text


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.delenv("HOWDAH_STORE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert str(directory()) == "/state/howdah"
    monkeypatch.setenv("HOWDAH_STORE", str(tmp_path))
    assert directory() == tmp_path
