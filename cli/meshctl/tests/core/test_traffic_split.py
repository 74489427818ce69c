from datetime import timedelta

from meshctl.core.traffic_split import LEAST_ANSWERS, Answer, Split, median_and_max, milliseconds


def split_of(**counts: int) -> Split:
    split = Split()
    for version, count in counts.items():
        for _ in range(count):
            split.add(Answer("ada", 200, version))
    return split


def test_shares_near_the_promise_keep_it() -> None:
    assert split_of(v1=45, v3=55).contradicts({"ada": {"v1": 0.5, "v3": 0.5}}) == []
    assert split_of(v1=20, v3=80).contradicts({"ada": {"v1": 0.5, "v3": 0.5}}) != []


def test_all_means_all_and_none_means_none() -> None:
    assert split_of(v1=99, v2=1).contradicts({"ada": {"v1": 1.0}}) == [
        "ada: v1 got 99%, promised 100%",
        "ada: v2 got 1%, promised 0%",
    ]


def test_anything_but_200_is_a_failure() -> None:
    split = split_of(v1=1)
    split.add(Answer("ada", 503, "?"))
    split.add(Answer("others", 0, "?"))
    assert (split.failed(), split.total("ada"), split.share("ada", "v1")) == (2, 2, 0.5)


def test_few_answers_are_not_judged() -> None:
    assert not split_of(v1=LEAST_ANSWERS - 1).enough(["ada"])
    assert split_of(v1=LEAST_ANSWERS).enough(["ada"])
    assert not split_of(v1=LEAST_ANSWERS).enough(["ada", "others"])


def test_the_median_is_a_sample() -> None:
    samples = [timedelta(milliseconds=value) for value in (5, 1, 9, 2)]
    assert median_and_max(samples) == (timedelta(milliseconds=2), timedelta(milliseconds=9))
    assert milliseconds(timedelta(milliseconds=12, microseconds=340)) == "12.3 ms"
