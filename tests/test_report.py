"""Evaluation and report: the numbers against scikit-learn's, the page self-contained and every text escaped."""

from __future__ import annotations

import base64
import http.server
import io
import re
import threading
import time
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from browsers import OFFLINE, needs_browser
from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support

from crossent.classify import plots
from crossent.classify.calibration import reliability
from crossent.classify.evaluation import evaluate
from crossent.classify.report import Background, render

NASTY = '<script>alert("1")</script> & $\\frac$'


def outcome(rows=200, classes=4, seed=0, scale=2.0):
    """Logits that are right most of the time, and labels."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)) * 1.5
    labels = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
    return logits * scale, labels


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


HISTORY = [
    {"epoch": n, "loss": 2 / n, "held_out_loss": 2.1 / n, "held_out_accuracy": 1 - 0.5 / n, "seconds": 0.1}
    for n in range(1, 6)
]


def page_of(evaluation, features=None, history=HISTORY, **background):
    rows = len(evaluation.labels)
    features = pd.DataFrame({"a": np.arange(rows, dtype=float)}) if features is None else features
    facts = {"title": "flowers", "command": "crossent train flowers", "facts": [("Seed", "0")], **background}
    return render(evaluation, history, features, range(100, 100 + rows), Background(**facts))


class Reader(HTMLParser):
    """Checks that tags are balanced; collects what is fetched and what is shown."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.shown, self.tags = [], [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in {"meta", "img", "br", "path", "use", "rect"}:
            self.open.append(tag)
        self.fetched += [value for name, value in attrs if name in {"src", "href", "xlink:href", "srcset", "data"}]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in {"meta", "img", "br", "path", "use", "rect"}:
            assert self.open.pop() == tag

    def handle_data(self, text):
        self.shown.append(text)


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


# --- evaluation -------------------------------------------------------------------------------------------------------


def test_scores_are_scikit_learns():
    logits, labels = outcome()
    result = evaluate(logits, labels, list("abcd"))
    expected = precision_recall_fscore_support(labels, logits.argmax(axis=1), labels=range(4))
    found = np.array([(s.precision, s.recall, s.f1, s.support) for s in result.scores]).T
    np.testing.assert_allclose(found, expected)
    assert result.accuracy == accuracy_score(labels, logits.argmax(axis=1))
    assert result.loss == pytest.approx(log_loss(labels, softmax(logits)))
    assert result.confusion.sum() == 200


def test_one_logit_is_two_columns():
    logits, labels = outcome(classes=2)
    one = evaluate((logits[:, 1] - logits[:, 0])[:, None], labels, ["no", "yes"])
    two = evaluate(logits, labels, ["no", "yes"])
    np.testing.assert_allclose(one.probabilities, two.probabilities, rtol=1e-6)
    assert one.loss == pytest.approx(two.loss)


def test_an_overconfident_network_is_calibrated_and_a_calibrated_one_left_alone():
    result = evaluate(*outcome(rows=600, scale=4.0), list("abcd"))
    assert result.calibrated
    assert result.temperature == pytest.approx(4.0, rel=0.2)
    assert result.after.error < result.before.error / 2
    few = evaluate(*outcome(rows=19), list("abcd"))
    assert (few.after, few.temperature, few.calibrated) == (None, 1.0, False)


def test_a_temperature_that_lowers_no_loss_is_not_used():
    evaluations = [evaluate(*outcome(rows=60, scale=1.0, seed=seed), list("abcd")) for seed in range(12)]
    assert {result.calibrated for result in evaluations} == {True, False}
    for result in evaluations:
        assert result.calibrated == (result.loss_after < result.loss)
        assert (result.temperature == result.fitted_temperature) == result.calibrated


def test_the_row_of_highest_loss_surprises_most():
    logits, labels = outcome()
    logits[17] = [50, 0, 0, 0]
    labels[17] = 3
    result = evaluate(logits, labels, list("abcd"))
    assert result.surprises(3)[0] == 17
    assert np.all(np.diff(result.row_loss[result.surprises(50)]) <= 0)


def test_a_class_that_is_never_predicted_has_no_precision():
    result = evaluate(np.tile([9.0, 0.0, 0.0], (4, 1)), np.array([0, 0, 1, 1]), list("abc"))
    assert np.isnan(result.scores[1].precision)
    assert np.isnan(result.scores[2].recall)
    assert result.metrics()["classes"]["b"]["precision"] is None


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_is_self_contained_and_well_formed():
    page = page_of(evaluate(*outcome(), list("abcd")))
    reader = read(page)
    assert "script" not in reader.tags
    assert all(target.startswith(("#", "data:image/png;base64,")) for target in reader.fetched)
    assert not re.search(r"url\((?!#)|@import|<link|http-equiv=\"(?!Content-Security-Policy)", page)
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert page.count("<svg") == 5
    for heading in ("Learning curves", "Confusion matrix", "Calibration", "Classes", "Most surprising rows"):
        assert heading in reader.shown
    assert "15 bins of equal" in " ".join("".join(reader.shown).split())


def test_the_same_run_gives_the_same_page():
    result = evaluate(*outcome(), list("abcd"))
    assert page_of(result) == page_of(result)


CONTROLS = "a\x1b]0;title\x07\u202e\u2066\x00b"


def test_control_characters_are_shown_escaped():
    logits, labels = outcome(60, 2)
    page = page_of(evaluate(logits, labels, [CONTROLS, "b"], seed=0), title=CONTROLS, command=CONTROLS)
    assert not set(page) & set("\x1b\x07\u202e\u2066\x00")
    assert "a\\x1b]0;title\\x07\\u202e\\u2066\\x00b" in page


def test_the_page_may_fetch_and_run_nothing():
    page = page_of(evaluate(*outcome(60, 2), [NASTY, "b"], seed=0), title=NASTY, command=NASTY)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    assert page.index("Content-Security-Policy") < page.index("<style")


def test_every_text_from_outside_is_escaped():
    features = pd.DataFrame({NASTY + "column": [NASTY + "value"] * 200})
    page = page_of(
        evaluate(*outcome(), [NASTY + "1", "基本", "c", "d"]),
        features=features,
        title=NASTY + "title",
        command=NASTY + "command",
        facts=[(NASTY + "fact", NASTY + "said")],
        row_source=NASTY + "source",
    )
    reader = read(page)
    assert "script" not in reader.tags
    shown = "".join(reader.shown)
    for place in ("1", "column", "title", "command", "fact", "said", "source"):
        assert NASTY + place in shown
    assert "<script" not in page


ATTACKS = (  # each would reach the address, or set a mark, if a page took it for more than text
    '<script src="{url}1"></script><script>window.marked = 1</script>',
    '<img src="{url}2" onerror="window.marked = 2">',
    '"><svg onload="window.marked = 3"><image href="{url}3"/></svg>',
    "</style><style>@import '{url}4'; body {{background: url({url}5)}}</style>",
    '</title><meta http-equiv="refresh" content="0;url={url}6">',
    '<base href="{url}7"><link rel="stylesheet" href="8">',
    "' autofocus onfocus='window.marked = 4' style='background: url({url}9)",
    '<iframe srcdoc="<script>parent.marked = 5</script>"></iframe><object data="{url}10"></object>',
)


@pytest.fixture
def asked():
    """An address on this machine, and what it was asked for."""
    paths = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", paths
        finally:
            server.shutdown()
            thread.join()


def opened(browser, path, page):
    """Open a page in a browser that may reach this machine; the mark that a script of it has set, if one ran."""
    path.write_text(page, encoding="utf-8")
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", {**OFFLINE, "offline": False})
    browser.get(path.as_uri())
    time.sleep(1)  # what loads or refreshes later
    assert browser.current_url == path.as_uri()
    return browser.execute_script("return window.marked || null")


@needs_browser
def test_hostile_names_run_nothing_and_ask_for_nothing(browser, tmp_path, asked):
    url, paths = asked
    attacks = [attack.format(url=url) for attack in ATTACKS]
    assert opened(browser, tmp_path / "raw.html", f"<!doctype html><title>t</title>{attacks[0]}{attacks[1]}")
    assert paths  # so the browser would
    paths.clear()
    logits, labels = outcome(200, len(attacks))
    page = page_of(
        evaluate(logits, labels, attacks, seed=0),
        features=pd.DataFrame({attack: [attack] * 200 for attack in attacks}),
        title="".join(attacks),
        command="".join(attacks),
        facts=[(attack, attack) for attack in attacks],
        row_source=attacks[2],
    )
    assert opened(browser, tmp_path / "report.html", page) is None
    assert paths == []
    assert browser.execute_script("return document.body.innerText").count("window.marked = 2") > 4


@pytest.mark.parametrize("shape", [(4, 4), (3, 2, 3)])
def test_rows_that_are_pictures_are_shown_as_pictures(shape):
    from matplotlib.image import imread

    size = int(np.prod(shape))
    features = pd.DataFrame(np.arange(200 * size).reshape(200, size) % 17)
    logits, labels = outcome()
    page = page_of(evaluate(logits, labels, list("abcd")), features=features, picture_shape=shape)
    sources = [target for target in read(page).fetched if target.startswith("data:")]
    assert len(sources) == 24
    pixels = imread(io.BytesIO(base64.b64decode(sources[0].split(",")[1])))
    assert pixels.shape[:2] == shape[:2]
    first = evaluate(logits, labels, list("abcd")).surprises(1)[0]
    expected = features.iloc[first].to_numpy().reshape(shape) / 16
    found = pixels[..., 0] if len(shape) == 2 else pixels[..., :3]
    np.testing.assert_allclose(found, expected, atol=1 / 255)


def test_the_page_says_what_is_not_so():
    few = page_of(evaluate(*outcome(rows=19), list("abcd")))
    assert "too few to fit a temperature" in few
    assert few.count("<svg") == 4
    early = page_of(evaluate(*outcome(), list("abcd")), chosen_by_held_out=True)
    assert "chosen by the loss on these same held-out rows" in early
    used = page_of(evaluate(*outcome(rows=600, scale=4.0), list("abcd")))
    assert "It is used for predictions, and softens them" in used


def test_one_epoch_a_zero_loss_and_many_classes_can_be_drawn():
    history = [{**HISTORY[0], "loss": 0.0}]
    generator = np.random.default_rng(0)
    many = evaluate(generator.normal(size=(300, 40)), generator.integers(0, 40, 300), [f"class {i}" for i in range(40)])
    page = page_of(many, history=history)
    assert "too many for one matrix" in page
    assert len(read(page).tags) > 10


def test_a_constant_picture_and_an_empty_bin_can_be_drawn():
    assert plots.picture(np.zeros(4), (2, 2), 0.0, 0.0).startswith("data:image/png;base64,")
    assert plots.reliability_diagram("Before", reliability([[0.9, 0.1]], [0])).startswith("<svg")
