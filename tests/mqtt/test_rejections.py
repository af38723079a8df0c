"""What counts as rejected now, and for how long."""

from conftest import ExpectWarnings

from agent.mqtt.reason_codes import ReasonCode
from agent.mqtt.rejections import MAX_TOPICS, Rejections
from agent.runtime.retry import BackoffPolicy

HOUR = 3600.0


def test_a_topic_on_which_nothing_is_sent_any_more_is_forgotten(expected_warnings: ExpectWarnings) -> None:
    """Its container was removed, so the broker will not accept it either."""
    expected_warnings("not authorized")
    rejections = Rejections(lambda: 0.0, BackoffPolicy(0, 1, 0))
    rejections.add("a", ReasonCode.NOT_AUTHORIZED)
    assert rejections.trouble is None


def test_several_topics_are_counted(expected_warnings: ExpectWarnings) -> None:
    """One of them is named, with the reason; those that are accepted do not count."""
    expected_warnings("quota exceeded", "not authorized")
    rejections = Rejections(lambda: HOUR, BackoffPolicy(0, 1, 0))
    for topic in ("a", "b", "c"):
        rejections.add(topic, ReasonCode.NOT_AUTHORIZED)
    rejections.note_accepted("c")
    rejections.add("a", ReasonCode.QUOTA_EXCEEDED)
    assert rejections.trouble is not None
    assert rejections.trouble.startswith("the broker does not take messages on a and 1 more: quota exceeded")


def test_what_is_kept_of_topics_is_bounded(expected_warnings: ExpectWarnings) -> None:
    """Topics come and go for months."""
    expected_warnings("not authorized")
    rejections = Rejections(lambda: HOUR, BackoffPolicy(0, 1, 0))
    for number in range(2 * MAX_TOPICS):
        rejections.add(str(number), ReasonCode.NOT_AUTHORIZED)
    assert rejections.trouble is not None
    assert f"{2 * MAX_TOPICS - 1} and {MAX_TOPICS - 1} more" in rejections.trouble
