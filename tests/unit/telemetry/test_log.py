import logging

import pytest

from calico.telemetry.log import TRACE, Formatter, Repeats, configure_logging, level_of


def line(message, level=logging.INFO, **facts):
    record = logging.getLogger("calico.datastore.watcher").makeRecord(
        "calico.datastore.watcher", level, "f.py", 1, message, (), None, extra=facts
    )
    record.created, record.msecs = 1785578412.125, 125.0
    return Formatter().format(record)


def test_facts_follow_the_message():
    assert line("routes applied", applied=12, failed=0, seconds=0.25) == (
        "2026-08-01 10:00:12.125 INFO datastore.watcher: "
        "routes applied applied=12 failed=0 seconds=0.25"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ("", '""'),
        ('say "a=b"', '"say \\"a=b\\""'),
        ("two\nlines", '"two\\nlines"'),
        (None, "None"),
    ],
)
def test_values_stay_one_word(value, shown):
    assert line("m", fact=value).endswith(f"m fact={shown}")


def test_levels_are_felix_words():
    assert [level_of(word) for word in ("trace", "Debug", "INFO", "WARNING", "ERROR", "FATAL")] == [
        *(TRACE, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
    ]
    assert level_of("none") > logging.CRITICAL
    with pytest.raises(ValueError, match="'LOUD' is no log severity"):
        level_of("LOUD")
    assert " TRACE " in line("m", level=TRACE)


def test_repeats_are_told_at_powers_of_two():
    repeats = Repeats()
    assert [repeats.note("a") for _ in range(9)] == [1, 2, 0, 4, 0, 0, 0, 8, 0]
    assert repeats.note("b") == 1, "rows are counted by what failed"
    assert repeats.note("a", "another reason") == 1, "another reason is another row"
    assert repeats.clear("a") == 1
    assert repeats.clear("a") == 0
    assert repeats.note("a") == 1


@pytest.fixture
def root():
    logger = logging.getLogger()
    handlers, level = tuple(logger.handlers), logger.level
    yield logger
    for handler in tuple(logger.handlers):
        if handler not in handlers:
            logger.removeHandler(handler)
            handler.close()
    logger.setLevel(level)


def test_screen_and_file_have_their_own_levels(root, tmp_path, capsys):
    path = tmp_path / "new" / "felix.log"
    configure_logging("WARNING", "DEBUG", str(path))
    configure_logging("WARNING", "DEBUG", str(path))  # a second call replaces the first
    logging.getLogger("calico.x").debug("quiet", extra={"n": 1})
    logging.getLogger("calico.x").warning("loud")
    assert capsys.readouterr().out.count("x: loud") == 1
    text = path.read_text()
    assert text.count("DEBUG x: quiet n=1") == 1
    assert text.count("loud") == 1


def test_no_file_when_its_level_is_none(root, tmp_path):
    configure_logging("INFO", "none", str(tmp_path / "felix.log"))
    assert list(tmp_path.iterdir()) == []
