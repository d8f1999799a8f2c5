"""Options over environment over file over defaults, and one sentence for what is wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import SettingsError
from streamsocket.settings import Settings, Value, load_settings
from streamsocket.settings.layers import _leaves, _lines

PORT = ("rtsp", "port")


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(text: str = "", environ: dict[str, str] | None = None) -> str:
    Path("streamsocket.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(environ=environ or {})
    return str(caught.value)


def test_without_anything_the_defaults_hold() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert (settings.host, settings.rtsp.port, settings.http.port) == ("127.0.0.1", 8554, 8080)
    assert settings.webrtc.port == 8189
    assert settings.streams == {}


def test_each_layer_goes_over_the_one_below_it() -> None:
    Path("streamsocket.toml").write_text("[rtsp]\nport = 1\nudp_port = 2\n[http]\nport = 3\n")
    environ = {"STREAMSOCKET_RTSP__PORT": "10", "STREAMSOCKET_HTTP__PORT": "30", "HOME": "/"}
    settings = load_settings({PORT: Value(100, "--rtsp-port")}, environ=environ)
    assert (settings.rtsp.port, settings.http.port, settings.rtsp.udp_port) == (100, 30, 2)


def test_variables_of_options_are_no_settings() -> None:
    environ = {"STREAMSOCKET_ICE_SERVERS": "stun:a", "STREAMSOCKET_SECRET": "x"}
    assert load_settings(environ=environ) == load_settings()


def test_streams_come_together_from_all_layers() -> None:
    Path("streamsocket.toml").write_text('[streams."live/lobby"]\nsource = "test"\nloop = false\n')
    options = {("streams", "yard", "source"): Value("test:640x360", "yard=test:640x360")}
    settings = load_settings(options, environ={"STREAMSOCKET_STREAMS__DOOR__SOURCE": "test"})
    assert {name: stream.source for name, stream in settings.streams.items()} == {
        "live/lobby": "test",
        "door": "test",
        "yard": "test:640x360",
    }
    assert not settings.streams["live/lobby"].loop
    assert settings.streams["yard"].loop


def test_a_file_given_by_name_is_read_instead() -> None:
    Path("streamsocket.toml").write_text("host = 'ignored'")
    Path("other.toml").write_text("host = '::'")
    assert load_settings(file=Path("other.toml")).host == "::"


def test_an_empty_group_in_the_file_leaves_the_environment_alone() -> None:
    Path("streamsocket.toml").write_text("[rtsp]\n")
    assert load_settings(environ={"STREAMSOCKET_RTSP__PORT": "5"}).rtsp.port == 5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# x\n[rtsp]\n\nprot = 1", "line 4: rtsp.prot is no setting: did you mean rtsp.port?"),
        ("[rtp]\nport = 1", "line 2: rtp.port is no setting: did you mean rtsp.port?"),
        ("[zebra]", "line 1: zebra is no setting: docs/settings.md lists them all."),
        ("rtsp.port = 70000", "line 1: rtsp.port should be less than or equal to 65535, not 70000"),
        ("[rtsp]\nport = true", "line 2: rtsp.port should be a number, not True."),
        ("[rtsp]\r\nport = 'x'\r\n", "line 2: rtsp.port should be a valid integer, not 'x'."),
        ("[rtsp]\nudp_port = 5001", "line 2: rtsp.udp_port should be even, not 5001."),
        ("[hub]\nhistory_s = nan", "line 2: hub.history_s should be greater than 0, not nan."),
        ("rtsp = 1", "line 1: rtsp is a group of settings and has no value of its own."),
        (
            "streams.a = 'x'",
            "line 1: streams.a is a group of settings and has no value of its own.",
        ),
        ("[[streams]]\nsource='x'", "line 1: streams is a group of settings"),
        ("[streams.a]\nloop = true", "line 2: streams.a.source is missing."),
        (
            '[streams."b/c"]\nsource = "test"\nlop = true',
            'line 3: streams."b/c".lop is no setting: did you mean streams."b/c".loop?',
        ),
        ("[streams.a]\nsource = 'no.mp4'", "line 2: streams.a.source: There is no file 'no.mp4'"),
        ("host = ['a',\n'b']", "line 1: host should be a valid string, not ['a', 'b']."),
        ("[rtsp]\nport =\n", "line 2: this is not TOML: Invalid value."),
        ("[rtsp]\n[rtsp]", "line 2: this is not TOML:"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_line(text: str, sentence: str) -> None:
    assert refusal(text).startswith(f"streamsocket.toml, {sentence}")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("STREAMSOCKET_RTSP__PORT", "x", "should be a valid integer, not 'x'."),
        ("STREAMSOCKET_RTSP_PORT", "1", "is no setting: did you mean STREAMSOCKET_RTSP__PORT?"),
        ("STREAMSOCKET_HSOT", "::", "is no setting: did you mean STREAMSOCKET_HOST?"),
        ("STREAMSOCKET_HOST", "", "should have at least 1 character, not ''."),
        ("STREAMSOCKET_RTSP", "1", "is a group of settings and has no value of its own."),
    ],
)
def test_what_is_wrong_in_the_environment_is_told_with_its_variable(
    name: str, value: str, sentence: str
) -> None:
    assert refusal(environ={name: value}) == f"{name} {sentence}"


def test_what_is_wrong_in_an_option_is_told_with_its_name() -> None:
    with pytest.raises(SettingsError, match=r"^--rtsp-port should be greater than .* not -1\.$"):
        load_settings({PORT: Value(-1, "--rtsp-port")})


def test_a_value_in_the_way_of_a_group_is_blamed_where_it_stands() -> None:
    sentence = refusal("rtsp = 1", {"STREAMSOCKET_RTSP__PORT": "5"})
    assert sentence.startswith("streamsocket.toml, line 1: rtsp is a group")
    sentence = refusal("[rtsp]\nport = 5", {"STREAMSOCKET_RTSP": "1"})
    assert sentence.startswith("STREAMSOCKET_RTSP is a group")


def test_a_file_that_cannot_be_read_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone\.toml cannot be read: No such file"):
        load_settings(file=tmp_path / "gone.toml")
    (tmp_path / "bytes.toml").write_bytes(b"host = '\xff'")
    with pytest.raises(SettingsError, match="not text in UTF-8"):
        load_settings(file=tmp_path / "bytes.toml")
    (tmp_path / "large.toml").write_text("#" * (1 << 20) + "\n")
    with pytest.raises(SettingsError, match="larger than 1 MB"):
        load_settings(file=tmp_path / "large.toml")


def test_a_long_value_is_quoted_in_part() -> None:
    assert len(refusal(f"rtsp.port = '{'x' * 1000}'")) < 200


def test_lines_are_found_behind_strings_that_look_like_settings() -> None:
    text = 'a = """\n[rtsp]\nport = 1\n"""\n[rtsp]\nport = [\n 1,\n]\n"odd.key".x = 2 # c\n'
    assert _lines(text) == {
        (): 1,
        ("a",): 1,
        ("rtsp",): 5,
        ("rtsp", "port"): 6,
        ("rtsp", "odd.key", "x"): 9,
    }


KEYS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=5)


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, st.text("ab\n'[]=# "), max_size=3), max_size=4))
def test_every_value_of_a_document_has_the_line_it_is_on(
    groups: dict[str, dict[str, str]],
) -> None:
    lines: list[str] = []
    expected = {(): 1}
    for group, values in groups.items():
        lines.append(f"[{group}]")
        expected[group,] = len(lines)
        for key, value in values.items():
            expected[group, key] = len(lines) + 1
            lines += f'{key} = """{value}"""'.split("\n")
    text = "\n".join(lines)
    assert _lines(text) == expected
    assert {path for path, _ in _leaves(tomllib.loads(text))} <= set(expected)


@given(st.text("a.=[]'\"\n{}1 #", max_size=60))
def test_any_text_is_either_settings_or_refused(text: str) -> None:
    file = Path("any.toml")
    file.write_text(text)
    sentence = ""
    try:
        assert load_settings(file=file) == Settings()
    except SettingsError as error:
        sentence = str(error)
    assert "\n" not in sentence


def test_groups_in_a_list_are_read_in_order() -> None:
    Path("streamsocket.toml").write_text(
        '[[record]]\nstreams = "live/*"\nkeep_days = 7\n\n[rtsp]\nport = 1\n\n[[record]]\n'
    )
    settings = load_settings(environ={"STREAMSOCKET_RECORD__1__ROTATE_MB": "10"})
    assert [rule.streams for rule in settings.record] == ["live/*", "*"]
    assert [rule.keep_days for rule in settings.record] == [7, None]
    assert [rule.rotate_mb for rule in settings.record] == [None, 10]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[record]]\n[[record]]\n\nkep_gb = 1", "line 4: record.kep_gb is no setting: did you"),
        ("[[record]]\n[[record]]\nkeep_gb = 0", "line 3: record.keep_gb should be greater than 0"),
        ("[[record]]\npath = '{x}{time}.mp4'", "line 2: record.path: The placeholder {x} is"),
        ("record = [{},\n{min_free_gb = -1}]", "line 1: record.min_free_gb should be greater"),
        ("[record]\nkeep_gb = 1", "line 2: record.keep_gb: write [[record]], in two pairs"),
        ("record = 1", "line 1: record: write [[record]], in two pairs of brackets."),
        ("record = [1]", "line 1: record is a group of settings and has no value of its own."),
    ],
)
def test_what_is_wrong_in_a_list_is_told_with_its_line(text: str, sentence: str) -> None:
    assert refusal(text).startswith(f"streamsocket.toml, {sentence}")


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://ann:s3cret@host/{name}/whip", True),
        ("http://host:8080/live/{name}/whip#insecure", True),
        ("http://host:8080/live/{name}", False),
        ("http://host:8080/live/{name}/whep", False),
    ],
)
def test_streams_are_pushed_on_by_webrtc_to_urls_that_end_with_whip(url: str, taken: bool) -> None:
    text = f'[[forward]]\nurl = "{url}"\n'
    if taken:
        Path("streamsocket.toml").write_text(text)
        assert load_settings().forward[0].url == url
    else:
        assert "forward" in refusal(text)
