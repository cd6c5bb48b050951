from hypothesis import given
from hypothesis import strategies as st

from arbitrade import Alert, Severity
from arbitrade_alerts.format import MESSAGE_LIMIT, TITLE_LIMIT, body_of, shorten, title_of

alerts = st.builds(
    Alert,
    severity=st.sampled_from(Severity),
    title=st.text(),
    body=st.text() | st.text().map(lambda text: text * 500),
    subject=st.text(),
)


@given(alerts)
def test_message_never_exceeds_the_limits_and_never_lacks_a_part(alert):
    title, body = title_of(alert), body_of(alert)
    assert 0 < len(title) <= TITLE_LIMIT
    assert body
    assert len(title) + len(body) <= MESSAGE_LIMIT
    assert "\n" not in title


def test_title_without_subject_has_no_stray_colon():
    assert title_of(Alert(Severity.INFO, "started")) == "[INFO] started"


def test_missing_body_is_replaced_by_the_title():
    assert body_of(Alert(Severity.INFO, "started")) == "[INFO] started"


def test_short_text_is_left_alone():
    assert shorten("abc", 3) == "abc"


def test_long_text_ends_in_an_ellipsis():
    assert shorten("abcd efgh", 6) == "abcd…"
