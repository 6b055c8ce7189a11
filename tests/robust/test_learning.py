"""Labels, drift and models of one's own: many cases of each, against oracles and at random."""

import http.client
import json
import string
from itertools import pairwise

import numpy as np
import pytest

from rbinfer.diagnostics.drift.expected import Record, Reference
from rbinfer.diagnostics.drift.frames import FrameFigures
from rbinfer.diagnostics.drift.monitor import Monitor, find_alarms
from rbinfer.errors import InputError
from rbinfer.io.labels import LABELS, Label, LabelFile, current, read_labels
from rbinfer.model import choice
from rbinfer.model.registry import resolve, shipped_model
from rbtrain.config import CLASSES
from rbtrain.judging.promotion import compare

from ..infer.diagnostics.drift.skies import BOGUS, REAL, frame
from ..infer.label.conftest import PATIENCE, running, write_results
from ..infer.model.test_choice import described
from .scale import times

SEED = 20_263
#: What happens to frames, with the cause that is to be named.
FAULTS = {
    "focus": {"fwhm": 6.0},
    "tracking": {"ellipticity": 0.4, "fwhm": 4.0},
    "hot_pixels": {"hot": 600},
    "light": {"background": 2000.0, "noise": 40.0},
    "gain": {"background": 1000.0, "noise": 40.0},
    "clouds": {"background": 900.0, "noise": 27.0, "real": 40},
}
IS_REAL = np.array([name in ("star", "galaxy") for name in CLASSES])


@pytest.fixture
def reference():
    rng = np.random.default_rng(1)
    return Reference(frame(rng) for _ in range(40))


@pytest.mark.promise("Learning", "good frames give at most one alarm in 1,000")
def test_good_frames(tried, request):
    rng = np.random.default_rng(SEED)
    n, references, found = times(400, 2000), 10, 0
    for _ in range(references):
        reference = Reference(frame(rng) for _ in range(40))
        found += len(find_alarms((frame(rng) for _ in range(n)), reference)[0])
        tried(n)
    request.node.found = f"{found} alarms by {references} references"
    assert found <= n * references / 1000


@pytest.mark.promise(
    "Learning",
    "defocus, tracking, ten times the hot pixels, light, another gain, clouds: told within five frames, "
    "with the right cause in 98 %",
)
@pytest.mark.parametrize("cause", FAULTS)
def test_faults(cause, reference, tried, request):
    n, named = times(10, 200), 0
    for seed in range(n):
        rng = np.random.default_rng([SEED, seed])
        good = [frame(rng, f"good{k}.fits") for k in range(int(rng.integers(5, 15)))]
        bad = [frame(rng, f"bad{k}.fits", **FAULTS[cause]) for k in range(5)]
        alarms, _ = find_alarms([*good, *bad], reference)
        assert alarms
        assert all(name.startswith("bad") for alarm in alarms for name in alarm.images)
        named += alarms[0].cause.name == cause
        tried()
    request.node.found = f"{cause} named in {named} of {n}"
    assert named >= 0.98 * n


def any_value(rng):
    """Return what a journal should not hold, and now and then what it should."""
    return [
        None, True, "x", "", [], {}, [1, "a"], {"star": "many"}, -1, 0, 10**400, 1e308, -1e308,
        float("nan"), float("inf"), "measured", float(rng.normal()), [[1, 2], [3]],
        {"real": [1, 2], "bogus": [3, 4]}, {"real": [float("nan")] * 20, "bogus": [0] * 20},
    ][int(rng.integers(20))]  # fmt: skip


@pytest.mark.promise("Learning", "any values in a journal: figures that are not known, and no error")
def test_any_journal(reference, tried):
    rng = np.random.default_rng(SEED)
    keys = ("real", "bogus", "classes", "scores", "fwhm", "fwhm_source", "ellipticity", "background",
            "noise", "exposure", "model", "version", "threshold", "real_classes")  # fmt: skip
    monitors = [Monitor(reference), Monitor(Record(np.array([REAL, BOGUS]), (0.6, 13.0)))]
    for _ in range(times(500, 20_000)):
        summary = {key: any_value(rng) for key in keys if rng.random() < 0.7}
        if rng.random() < 0.5:
            summary["fwhm_source"] = "measured"
        figures = FrameFigures.of("f.fits", "camera", summary)
        for monitor in monitors:
            for alarm in monitor.add(figures):
                assert alarm.message
        tried()


@pytest.mark.promise(
    "Learning", "answers, undone and given anew by any number of writers: the last one counts"
)
def test_answers(tmp_path, tried):
    rng = np.random.default_rng(SEED)
    letters = np.array(list(string.printable + "äλ☆\"',;"))
    for number in range(times(5, 200)):
        path = tmp_path / f"{number}.ecsv"
        writers = [LabelFile(path) for _ in range(3)]
        said: dict[int, list[str]] = {}
        for _ in range(20):
            item = int(rng.integers(6))
            answer = str(rng.choice([*LABELS, "undo"]))
            text = "".join(rng.choice(letters, 8)).translate({10: 32, 13: 32, 11: 32, 12: 32})
            label = Label(
                f"/data/{text}.fits", f"hash {item}", item + 0.5, -1e-3, answer, who=f"<{text}>"
            )
            writers[int(rng.integers(3))].append([label])
            stack = said.setdefault(item, [])
            if answer == "undo":
                del stack[-1:]
            else:
                stack.append(answer)
            tried()
        counting = {label.hash: label.label for label in current(read_labels(path))}
        assert counting == {f"hash {item}": stack[-1] for item, stack in said.items() if stack}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with running(write_results(tmp_path_factory.mktemp("page"))) as found:
        yield found


@pytest.mark.promise(
    "Learning", "the label page: another token, host, origin or path gets nothing, and writes nothing"
)
def test_others_at_the_page(page, tried):
    rng = np.random.default_rng(SEED)
    letters = np.array(list(string.ascii_letters + string.digits + "-_./%~?&=+"))

    def text(n):
        return "".join(rng.choice(letters, int(rng.integers(1, n))))

    good = {"token": page.token, "host": f"127.0.0.1:{page.port}", "origin": None, "path": "answer"}
    strange = {
        "token": lambda: rng.choice([text(50), page.token[: int(rng.integers(43))], page.token + "a"]),
        "host": lambda: rng.choice([f"{text(20)}.example", f"127.0.0.1.{text(9)}", "0.0.0.0"]),
        "origin": lambda: rng.choice([f"http://{text(20)}", "null", "https://127.0.0.1"]),
        "path": lambda: rng.choice([f"../{text(30)}", f"%2e%2e%2f{text(30)}", f"{text(30)}.py"]),
    }

    def posted(asked):
        headers = {"Host": asked["host"]}
        headers |= {} if asked["origin"] is None else {"Origin": asked["origin"]}
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE)
        connection.request("POST", f"/{asked['token']}/{asked['path']}", body, headers)
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    item = page.get("items?window=w&count=1")[1]["items"][0]["item"]
    body = json.dumps({"item": item, "label": "real"}).encode()
    for _ in range(times(100, 2000)):
        what = str(rng.choice(list(strange)))
        asked = good | {what: str(strange[what]())}
        status, text_of_answer = posted(asked)
        assert status in (400, 403, 404, 405), asked
        assert page.token.encode() not in text_of_answer
        tried()
    assert page.get("state")[1]["progress"]["labelled"] == 0
    # The same, with nothing changed, is taken.
    assert posted(good)[0] == 200
    assert page.get("state")[1]["progress"]["labelled"] == 1


@pytest.mark.promise(
    "Learning", "models used and taken back in any order: the default is what the choices leave"
)
def test_choices(tmp_path, monkeypatch, tried):
    rng = np.random.default_rng(SEED)
    models = tmp_path / "models"
    monkeypatch.setenv("RBINFER_MODELS", str(models))
    for name, verdict in (("a", "better"), ("b", "better"), ("c", "worse")):
        described(models / f"{name}-1.onnx", name=name, version="1", adaptation={"verdict": verdict})
    stack: list[str] = []
    for _ in range(times(30, 300)):
        name = str(rng.choice(["a-1", "b-1", "c-1", "back"]))
        if name == "back" and not stack:
            with pytest.raises(InputError, match="nothing to take back"):
                choice.rollback()
        elif name == "back":
            choice.rollback()
            stack.pop()
        elif name == "c-1":
            with pytest.raises(InputError, match="has not proved to be better"):
                choice.use(name)
        else:
            choice.use(name)
            stack += [name] if stack[-1:] != [name] else []
        assert resolve(None) == (models / f"{stack[-1]}.onnx" if stack else shipped_model())
        tried()
    assert all(a != b for a, b in pairwise(one.model for one in choice.standing(choice.history())))


@pytest.mark.promise(
    "Learning",
    "changes that chance alone makes are called better in 5 % of the cases at most, and so is a loss of "
    "10 % of one kind, however much is won of the other, by labels of which 3 % are wrong",
)
def test_promotions(tried, request):
    rng = np.random.default_rng(SEED)
    kinds = np.repeat(np.arange(len(CLASSES)), 200).astype(np.int8)
    simulated = IS_REAL[kinds]
    n, better, worse = times(500, 5000), 0, 0
    for _ in range(n):
        n_labels = int(rng.integers(30, 400))
        objects = rng.integers(int(n_labels / rng.uniform(1, 5)), size=n_labels)
        real = (rng.random(n_labels) < rng.uniform(0.2, 0.8))[objects]
        before, after = real.copy(), real.copy()
        # One of the two is wrong about these objects, either as likely, in all of their images.
        for k in np.flatnonzero(rng.random(n_labels) < rng.uniform(0.0, 0.2)):
            one = before if rng.random() < 0.5 else after
            one[objects == k] = ~real[objects == k]
        of = (np.ones(n_labels, bool), objects, kinds, simulated, simulated, IS_REAL)
        found = compare(real, before, after, *of)
        better += found.verdict == "better"
        worse += called_better_though_worse(rng, *of[2:])
        tried()
    request.node.found = f"{better} called better by chance, {worse} that lose"
    assert better <= 0.05 * n
    assert worse <= 0.05 * n


def called_better_though_worse(rng, *simulated):
    """Tell the verdict on a network that loses a tenth of one kind and wins some of the other."""
    n = int(rng.integers(50, 400))
    real = rng.random(n) < rng.uniform(0.2, 0.8)
    loses = rng.random() < 0.5
    before = np.where(real == loses, real, real != (rng.random(n) < rng.uniform(0.1, 0.4)))
    after = np.where(real == loses, real != (rng.random(n) < 0.1), real)
    labels = real != (rng.random(n) < 0.03)
    found = compare(labels, before, after, np.ones(n, bool), np.arange(n), *simulated)
    return found.verdict == "better"
