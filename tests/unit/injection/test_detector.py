"""What counts as a detector, and how its results become scores."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.runnables import RunnableLambda

from langchain_guard.errors import ConfigError, GuardUnavailable
from langchain_guard.injection import Detector, InjectionDetector
from langchain_guard.injection.detector import DetectorError, as_detector, as_score
from langchain_guard.injection.languages import language_of
from langchain_guard.injection.policy import BuiltIn, Cache, InjectionPolicy
from langchain_guard.verdict import Finding

SCORES = {
    "float": (0.25, 0.25),
    "int": (1, 1.0),
    "bool": (True, 1.0),
    "mapping": ({"score": 0.3}, 0.3),
    "harmful label": ({"label": "INJECTION", "score": 0.8}, 0.8),
    "harmless label": ({"label": "SAFE", "score": 0.8}, pytest.approx(0.2)),
    "a pipeline's list": ([{"label": "LABEL_1", "score": 0.7}], 0.7),
    "a list of one list": ([[{"label": "benign", "score": 0.9}]], pytest.approx(0.1)),
    "all labels": (
        [{"label": "BENIGN", "score": 0.1}, {"label": "INJECTION", "score": 0.3}, {"label": "JAILBREAK", "score": 0.6}],
        pytest.approx(0.9),
    ),
}


@pytest.mark.parametrize(("result", "score"), SCORES.values(), ids=SCORES.keys())
def test_scores(result, score):
    assert as_score(result) == score


@pytest.mark.parametrize(
    "result",
    [
        None,
        "0.5",
        1.2,
        -0.1,
        float("nan"),
        {},
        {"label": "POSITIVE-ISH", "score": 0.5},
        [],
        [0.1, 0.2],
        b"1",
        {"score": "high"},
    ],
)
def test_what_is_no_score_is_an_error(result):
    with pytest.raises(DetectorError):
        as_score(result)


def test_numpy_scalars_are_scores():
    import numpy as np

    assert as_score(np.float32(0.5)) == 0.5


class Fixed:
    name = "fixed"

    def __init__(self, score, **declared):
        self.value, self.asked = score, []
        for name, value in declared.items():
            setattr(self, name, value)

    def score(self, texts, source):
        self.asked += [(text, source) for text in texts]
        return [self.value] * len(texts)


def test_the_protocol_can_be_tested_for():
    assert isinstance(Fixed(0.1), Detector)
    assert isinstance(BuiltIn(), Detector)
    assert not isinstance(object(), Detector)


def test_runnables_and_coroutines_are_detectors():
    async def later(text):
        return 0.7

    assert as_detector(RunnableLambda(lambda text: 0.6)).score(["a"], "user") == [0.6]
    assert asyncio.run(as_detector(RunnableLambda(lambda text: 0.6, afunc=later)).ascore(["a"], "user")) == [0.7]
    assert asyncio.run(as_detector(later).ascore(["a"], "user")) == [0.7]
    guard = InjectionDetector(detectors=[RunnableLambda(lambda text: {"label": "injection", "score": 0.9})])
    assert guard.check("anything").blocked


@pytest.mark.parametrize("given", [3, "text", Fixed, None, {"score": 1}])
def test_what_is_no_detector_is_refused(given):
    with pytest.raises(ConfigError):
        as_detector(given)


def test_a_detector_may_not_declare_unknown_sources():
    with pytest.raises(ConfigError, match=r"fixed\.sources"):
        InjectionDetector(detectors=[Fixed(0.1, sources={"web"})])


def test_the_highest_score_counts():
    low, high = Fixed(0.2), Fixed(0.9)
    (found,) = InjectionPolicy((low, high)).assess(["a"], "user")
    assert found.score == 0.9
    assert found.findings == (Finding("fixed", "injection", 0, 1, 0.9),)


def test_texts_are_asked_in_one_call_and_only_those_a_detector_is_for():
    documents = Fixed(0.1, sources={"document"})
    german = Fixed(0.1, languages={"de"})
    policy = InjectionPolicy((documents, german))
    policy.assess(
        ["Wie ist das Wetter und was ist mit dem Zug?", "How is the weather and what is the time?", "x1"], "user"
    )
    assert documents.asked == []
    assert [text[:3] for text, _ in german.asked] == ["Wie", "x1"]
    policy.assess(["a", "b"], "document")
    assert documents.asked == [("a", "document"), ("b", "document")]


def test_no_detector_for_a_source_means_no_risk():
    assert InjectionPolicy((Fixed(0.9, sources={"document"}),)).assess(["a"], "user")[0].score == 0.0


def test_a_detector_may_point_at_the_place():
    pointing = Fixed(0.9, find=lambda text, source: [Finding("word", "injection", 2, 4, 0.9)])
    assert InjectionDetector(detectors=[pointing]).check("a bc d").findings == (
        Finding("word", "injection", 2, 4, 0.9),
    )


@pytest.mark.parametrize("scores", [[], [0.1, 0.2], [2.0], [None]])
def test_wrong_answers_fail_closed(scores):
    class Wrong:
        def score(self, texts, source):
            return scores

    policy = InjectionPolicy((Wrong(),))
    with pytest.raises(GuardUnavailable) as failed:
        policy.assess(["secret text"], "user")
    assert (failed.value.rule, failed.value.cause) == ("Wrong", "DetectorError")
    with pytest.raises(GuardUnavailable):
        asyncio.run(policy.aassess(["secret text"], "user"))


def test_errors_are_not_remembered():
    class Flaky:
        calls = 0

        def score(self, texts, source):
            self.calls += 1
            if self.calls == 1:
                raise OSError
            return [0.1]

    policy = InjectionPolicy((Flaky(),))
    with pytest.raises(GuardUnavailable):
        policy.assess(["a"], "user")
    assert policy.assess(["a"], "user")[0].score == 0.1


def test_what_is_known_is_kept_per_source_and_per_detectors():
    cache = Cache()
    first, second = Fixed(0.1), Fixed(0.2)
    InjectionPolicy((first,), cache=cache).assess(["a", "a"], "user")
    InjectionPolicy((first,), cache=cache).assess(["a"], "document")
    assert first.asked == [("a", "user"), ("a", "document")]
    assert InjectionPolicy((second,), cache=cache).assess(["a"], "user")[0].score == 0.2
    assert InjectionPolicy((first,), max_chars=9, cache=cache).assess(["a"], "user")[0].score == 0.1
    assert len(first.asked) == 3


def test_the_cache_is_bounded_and_holds_no_text():
    cache = Cache(size=10)
    InjectionPolicy((Fixed(0.1),), cache=cache).assess([f"private {n}" for n in range(50)], "user")
    assert len(cache) == 10
    assert "private" not in repr(vars(cache))


LANGUAGES = {
    "Where is the station and what is the time?": "en",
    "Wo ist der Bahnhof und wie ist das Wetter?": "de",
    "Où est la gare et que faut-il faire dans les villes?": "fr",
    "¿Dónde está la estación y qué es lo que hay en las calles?": "es",
    "Где находится вокзал?": "ru",
    "駅はどこですか": "ja",
    "车站在哪里": "zh",
    "역이 어디에 있습니까": "ko",
    "أين المحطة": "ar",
    "xyzzy 12 34": "",
    "": "",
}


@pytest.mark.parametrize(("text", "language"), LANGUAGES.items())
def test_languages(text, language):
    assert language_of(text) == language
