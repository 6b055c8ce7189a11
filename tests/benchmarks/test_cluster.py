"""The arithmetic that takes parts of a run to a million images."""

import pytest
from cluster import Parts, extrapolated

STAGES = {"hashing": 0.01, "reading": 0.04, "detection": 0.1, "scoring": 0.2, "writing": 0.05}
NIGHTS = [
    {"detections": 1e4, "seconds": 9.0, "bytes": 3e8},
    {"detections": 1e5, "seconds": 10.0, "bytes": 4e8},
    {"detections": 3e5, "seconds": 20.0, "bytes": 6e8},
]


def parts(**changed):
    given = {"search": 0.0036, "client": 0.001, "scheduler": 0.002, "kept": 4e3, "file": 8e6}
    stages = STAGES | {"noting": 0.003}
    return Parts(stages, **(given | {"detections": 1000.0, "nights": NIGHTS} | changed))


def test_the_slowest_of_what_goes_on_at_once_counts():
    found = extrapolated(parts(), 1_000_000, 1000)
    # A million images, 0.4 s each on one of 1,000 workers; the client takes 4 ms for each.
    assert found["hours"] == pytest.approx(
        {
            "search": 1.0,
            "workers": 400 / 3600,
            "client": 4000 / 3600,
            "scheduler": 2000 / 3600,
            "merging": 1e9 * 5e-5 / 3600,
        }
    )
    assert found["total_hours"] == pytest.approx(1.0 + (4000 + 5e4) / 3600)
    assert found["busy"] == pytest.approx(0.1)
    assert found["most_workers"] == pytest.approx(100.0)
    assert found["read_gb_per_s"] == pytest.approx(8e6 * 1e6 / 1e9 / 4000)
    assert found["read_gb_per_s_all_busy"] == pytest.approx(1000 * 8e6 / 1e9 / 0.4)


def test_memory_grows_with_images_and_with_detections_beyond_the_smaller_nights():
    found = extrapolated(parts(), 1_000_000, 1000)
    assert found["client_gb"] == pytest.approx(4.0)
    assert found["merging_gb"] == pytest.approx(1e9 * 1e3 / 1e9)
    assert found["further"] == [
        {"seconds": pytest.approx(1.0 / 9e4), "bytes": pytest.approx(1e8 / 9e4)},
        {"seconds": pytest.approx(5e-5), "bytes": pytest.approx(1e3)},
    ]


def test_few_workers_are_all_busy():
    found = extrapolated(parts(), 10_000, 10)
    assert found["busy"] == pytest.approx(1.0)
    assert found["total_hours"] == pytest.approx((36 + 400 + 1e7 * 5e-5) / 3600)
