"""The page to play with, in a real browser: its numbers are the package's, it works by keyboard, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from browsers import needs_browser

import crossent
from crossent.models import BinaryMLP, MulticlassMLP

FOLDER = Path(__file__).parents[1] / "docs" / "playground"
PAGE = (FOLDER / "index.html").as_uri()


def test_nothing_comes_from_a_network():
    text = (FOLDER / "index.html").read_text(encoding="utf-8")
    fetched = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert "maths.js" in fetched
    for name in fetched:
        assert name == "data:," or (FOLDER / name).exists(), name
    for script in FOLDER.glob("*.js"):
        assert not re.search(r"\b(fetch|XMLHttpRequest|import)\b *\(", script.read_text(encoding="utf-8")), script


@pytest.fixture
def page(browser):
    """The page, newly opened in English; it may say nothing to the console."""
    browser.get("about:blank")
    browser.get(PAGE + "#en,light")
    yield browser
    assert browser.get_log("browser") == []


def text(page, name):
    return page.find_element("id", name).text


def put(page, name, value):
    """Set a control to a value, as a hand on it would."""
    page.execute_script(
        "const it = document.getElementById(arguments[0]);"
        "if (it.type === 'checkbox') it.checked = arguments[1]; else it.value = arguments[1];"
        "it.dispatchEvent(new Event('input'));",
        name,
        value,
    )


def drawn_settings(count):
    """Settings at random: logits from small to huge, ignored rows, weights of 0, every option."""
    generator = np.random.default_rng(21)
    for _ in range(count):
        rows, classes = generator.integers(1, 6), generator.integers(2, 11)
        logits = generator.standard_normal((rows, classes)) * generator.choice([0.1, 1, 10, 40, 1000])
        targets = generator.integers(0, classes, rows)
        ignored = (generator.random(rows) < 0.15) & (np.arange(rows) > 0)
        yield {
            "logits": (logits + generator.choice([0, 0, 1e3])).tolist(),
            "targets": np.where(ignored, -100, targets).tolist(),
            "weights": np.where(generator.random(classes) < 0.5, 1.0, generator.uniform(0.1, 5, classes)).tolist(),
            "temperature": float(generator.choice([1.0, 0.3, 2.5])),
            "kind": str(generator.choice(["index", "onehot", "smoothed"])),
            "smoothing": float(generator.choice([0.1, 0.37])),
            "reduction": str(generator.choice(["mean", "sum", "none"])),
            "twice": bool(generator.random() < 0.3),
        }


def by_crossent(settings):
    """The package's loss, losses and gradient by the logits."""
    z = torch.tensor(settings["logits"], dtype=torch.float64, requires_grad=True)
    y, classes = torch.tensor(settings["targets"]), z.shape[1]
    target = y
    if settings["kind"] == "onehot":
        target = torch.eye(classes, dtype=torch.float64)[y.clamp(min=0)] * (y >= 0)[:, None]
    options = {"weight": torch.tensor(settings["weights"], dtype=torch.float64), "check": False}
    options["label_smoothing"] = settings["smoothing"] if settings["kind"] == "smoothed" else 0.0
    x = z
    if settings["twice"]:
        x = crossent.softmax(z, temperature=settings["temperature"])
    else:
        options["temperature"] = settings["temperature"]
    losses = crossent.cross_entropy(x, target, reduction="none", **options)
    loss = crossent.cross_entropy(x, target, reduction=settings["reduction"], **options)
    loss.sum().backward()
    p = crossent.softmax(z.detach(), temperature=settings["temperature"])
    return loss.detach().numpy(), losses.detach().numpy(), z.grad.numpy(), p.numpy()


@needs_browser
def test_the_formulas_are_the_packages(page):
    settings = list(drawn_settings(300))
    found = page.execute_script("return arguments[0].map((settings) => Crossent.crossEntropy(settings));", settings)
    for asked, got in zip(settings, found, strict=True):
        loss, losses, gradient, p = by_crossent(asked)
        close = {"rtol": 1e-12, "atol": 1e-12 * max(1.0, float(np.abs(losses).max()))}
        np.testing.assert_allclose(got["losses"], losses, **close)
        np.testing.assert_allclose(got["gradients"], gradient, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(got["probabilities"], p, rtol=1e-12, atol=1e-15)
        if asked["reduction"] != "none":
            np.testing.assert_allclose(got["loss"], loss, **close)


@needs_browser
def test_a_sure_row_keeps_its_digits(page):
    script = """
    const settings = {logits: [[40, 0]], weights: [1, 1], temperature: 1, kind: "index", reduction: "sum"};
    return [0, 1].map((y) => Crossent.crossEntropy({...settings, targets: [y]}));"""
    found = page.execute_script(script)
    assert found[0]["loss"] == pytest.approx(4.248354255291589e-18, rel=1e-12)
    assert found[0]["gradients"][0][0] == pytest.approx(-4.248354255291589e-18, rel=1e-12)
    assert found[1]["loss"] == pytest.approx(40, rel=1e-15)


@needs_browser
def test_two_classes_and_one_logit(page):
    z = np.concatenate([np.linspace(-45, 45, 181), [17.0, -104.0, 0.0]])
    pairs = [[float(value), y] for value in z for y in (0, 1)]
    script = "return arguments[0].map(([z, y]) => [Crossent.binaryWithLogits(z, y), Crossent.sigmoidThenBCE(z, y)]);"
    for (value, y), (right, lost) in zip(pairs, page.execute_script(script, pairs), strict=True):
        for got, dtype, loss, close in (
            (right, torch.float64, crossent.binary_cross_entropy_with_logits, {"rel": 1e-12, "abs": 1e-15}),
            (lost, torch.float32, by_sigmoid, {"rel": 3e-6, "abs": 1e-7}),
        ):
            x = torch.tensor([value], dtype=dtype, requires_grad=True)
            expected = loss(x, torch.tensor([float(y)], dtype=dtype))
            expected.backward()
            assert got["loss"] == pytest.approx(expected.item(), **close)
            assert got["gradient"] == pytest.approx(x.grad.item(), **close)


def by_sigmoid(x, y):
    return torch.nn.functional.binary_cross_entropy(torch.sigmoid(x), y)


@needs_browser
@pytest.mark.parametrize(("outputs", "twice"), [(3, False), (3, True), (1, False)])
def test_the_network_learns_as_in_pytorch(page, outputs, twice):
    script = """
    const N = Crossent.network, data = N.points("spirals", Math.max(arguments[0], 2), 20, 3);
    const net = N.create(6, arguments[0], 5), before = JSON.parse(JSON.stringify(net));
    const losses = [];
    for (let i = 0; i < 30; i++) losses.push(N.step(net, data.X, data.y, 0.3, arguments[1]).loss);
    return {data, before, net, losses};"""
    found = page.execute_script(script, outputs, twice)
    model = (MulticlassMLP(2, 6, 3) if outputs > 1 else BinaryMLP(2, 6)).double()
    names = ("W1", "b1", "W2", "b2")
    for parameter, name in zip(model.parameters(), names, strict=True):
        parameter.data = torch.tensor(found["before"][name], dtype=torch.float64)
    X, y = torch.tensor(found["data"]["X"], dtype=torch.float64), torch.tensor(found["data"]["y"])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for got in found["losses"]:
        z = model(X)
        if outputs == 1:
            loss = crossent.binary_cross_entropy_with_logits(z, y[:, None].double())
        else:
            loss = crossent.cross_entropy(crossent.softmax(z) if twice else z, y, check=False)
        assert got == pytest.approx(loss.item(), rel=1e-11)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for parameter, name in zip(model.parameters(), names, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), found["net"][name], rtol=1e-10, atol=1e-11)


@needs_browser
def test_what_the_page_shows(page):
    assert text(page, "loss") == "0.4170"
    assert page.find_element("id", "p-0").text == "0.6590"
    assert page.find_element("id", "g-0").text == "-0.3410"
    page.find_element("id", "right").click()
    put(page, "twice", True)
    assert text(page, "loss") == "0.5514"
    assert "0.5514" in text(page, "remark")
    page.find_element("id", "wrong").click()
    assert text(page, "loss") == "1.5514"
    assert "7.84e-5" in text(page, "remark")
    assert "0.99" in text(page, "remark") or "1.0000" in text(page, "remark")
    assert text(page, "logits-loss") == "20.0000000021"
    assert text(page, "sigmoid-loss") == "100.0000"
    assert text(page, "sigmoid-gradient") == "0.0000"
    put(page, "z", 3)
    assert text(page, "sigmoid-loss") == "3.0486"


CHANGES = [("truth", 2), ("kind", "smoothed"), ("smoothing", 0.4), ("temperature", 3), ("reduction", "sum")]
CHANGES += [("logit-4", -7), ("weight-2", 4), ("row", 1), ("twice", True)]


@needs_browser
def test_every_control_moves_the_numbers(page):
    put(page, "classes", 10)
    assert len(page.find_elements("css selector", ".class:not(.head)")) == 10
    put(page, "rows", 3)
    assert len(text(page, "losses").split()) == 3
    for control, value in CHANGES:
        before = text(page, "rowloss"), text(page, "loss"), page.find_element("id", "g-0").text
        put(page, control, value)
        assert (text(page, "rowloss"), text(page, "loss"), page.find_element("id", "g-0").text) != before, control
    put(page, "reduction", "mean")
    put(page, "kind", "index")
    for row in range(3):
        put(page, "row", row)
        put(page, "truth", -100)
    assert text(page, "loss") == "nan"
    put(page, "classes", 3)
    page.find_element("id", "reset").click()
    assert text(page, "loss") == "0.4170"


@needs_browser
def test_by_keyboard(page):
    from selenium.webdriver.common.keys import Keys

    logit = page.find_element("id", "logit-0")
    logit.send_keys(Keys.ARROW_RIGHT * 3)
    assert page.find_element("css selector", "output[for=logit-0]").text == "2.3"
    expected = crossent.cross_entropy(np.array([[2.3, 1.0, 0.1]]), np.array([0]))
    assert text(page, "loss") == f"{float(expected):.4f}"
    page.find_element("id", "twice").send_keys(Keys.SPACE)
    assert page.find_element("id", "twice").is_selected()
    page.find_element("id", "step").send_keys(Keys.ENTER)
    assert text(page, "epoch") == "1"


@needs_browser
@pytest.mark.parametrize(("net", "shape"), [("multiclass", "spirals"), ("binary", "rings"), ("binary", "spirals")])
def test_training_in_the_page(page, net, shape):
    put(page, "net", net)
    put(page, "shape", shape)
    before = float(text(page, "net-loss"))
    page.execute_script("Crossent.training.advance(300);")
    assert text(page, "epoch") == "300"
    assert float(text(page, "net-loss")) < before / 3
    assert float(text(page, "accuracy").split()[0]) > 90
    page.find_element("id", "restart").click()
    assert float(text(page, "net-loss")) == before
    page.find_element("id", "start").click()
    assert text(page, "start") == "Pause"
    page.find_element("id", "start").click()
    assert text(page, "start") == "Train"


@needs_browser
def test_both_languages_have_every_word(page):
    words = page.execute_script("return Crossent.words;")
    assert words["en"].keys() == words["zh"].keys()
    for key, english in words["en"].items():
        assert re.findall(r"{\w+}", english) == re.findall(r"{\w+}", words["zh"][key]), key
    page.find_element("id", "language").click()
    assert page.execute_script("return document.documentElement.lang;") == "zh-CN"
    shown = page.execute_script("return [...document.querySelectorAll('[data-word]')].map((node) => node.textContent);")
    assert all(shown)
    assert "softmax 已经" not in text(page, "loss")
    assert "类别 0" in text(page, "class-0")
    page.refresh()
    assert page.execute_script("return document.documentElement.lang;") == "zh-CN"


@needs_browser
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [320, 390, 800, 1280])
def test_the_page_fits_its_width(page, width, language):
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.get("about:blank")
    page.get(f"{PAGE}#{language},dark")
    put(page, "classes", 10)
    put(page, "twice", True)
    assert page.execute_script("return document.documentElement.scrollWidth;") <= width
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@needs_browser
def test_light_and_dark(page):
    paper = "return getComputedStyle(document.body).backgroundColor;"
    light = page.execute_script(paper)
    page.find_element("id", "theme").click()
    assert page.execute_script(paper) != light
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    page.get("about:blank")
    page.get(PAGE)
    assert page.execute_script("return document.documentElement.dataset.theme;") == "dark"
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
