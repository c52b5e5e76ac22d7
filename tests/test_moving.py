"""What every moving figure has from the kit and its host, shown on the meta-update."""

import sys
from types import SimpleNamespace

import pytest
from browser import put, show_figure, watched

from meta_lib.moving.meta_update import MetaUpdate


@pytest.fixture
def figure(tab):
    return show_figure(tab, MetaUpdate())


def readout(figure):
    return figure.locator(".moving-readout").text_content()


def trait(figure, name):
    return figure.evaluate("(at, name) => at.model.get(name)", name)


def test_a_slider_answers_to_the_keyboard(tab, figure):
    before, slider = readout(figure), figure.locator("input[name=alpha]")
    slider.focus()
    tab.keyboard.press("ArrowRight")
    tab.wait_for_timeout(100)
    assert trait(figure, "alpha") == pytest.approx(0.224)
    assert slider.get_attribute("aria-valuetext") == "α = 0.224"
    assert readout(figure) != before


def test_a_handle_answers_to_the_mouse_and_to_the_keyboard(tab, figure):
    handle = figure.locator(".handle")
    box = handle.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 120, box["y"] - 40)
    tab.mouse.up()
    x, y = trait(figure, "phi")
    assert x > 0.2 and y > -1
    handle.focus()
    tab.keyboard.press("ArrowLeft")
    assert trait(figure, "phi")[0] < x


def test_a_touch_moves_a_handle(browser):
    page = watched(browser, width=360, has_touch=True)
    figure = show_figure(page, MetaUpdate())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    handle = figure.locator(".handle")
    assert handle.evaluate("(at) => getComputedStyle(at).touchAction") == "none"
    page.context.close()


def test_the_address_keeps_the_state_and_reset_clears_it(tab, figure):
    put(figure, alpha=0.5, phi=[1.0, 1.0])
    tab.wait_for_timeout(500)
    address, said = tab.url, readout(figure)
    assert "meta_update.alpha=0.5" in address
    tab.reload()
    tab.wait_for_selector("html[data-moving=ready]")
    assert readout(figure) == said
    figure.get_by_role("button", name="Reset").click()
    tab.wait_for_timeout(500)
    assert "?" not in tab.url and trait(figure, "phi") == MetaUpdate().phi


@pytest.mark.parametrize(
    "wild",
    ["alpha=-7", "alpha=%22x%22", "alpha=1e999", "steps=1e9", "steps=2.5", "phi=[]", "phi=3", "["],
)
def test_a_wild_address_starts_a_sound_figure(tab, wild):
    figure = show_figure(tab, MetaUpdate(), f"?meta_update.{wild}")
    assert 0 < trait(figure, "alpha") <= 1 and trait(figure, "steps") in range(9)
    assert "NaN" not in readout(figure) and "φ = (" in readout(figure)


def test_the_result_is_heard(tab, figure):
    put(figure, alpha=0.5)
    tab.wait_for_timeout(700)
    heard = figure.get_by_role("status")
    assert heard.text_content() == readout(figure)
    assert all(
        one.get_attribute("id")
        and figure.locator(f"label[for='{one.get_attribute('id')}']").count()
        for one in figure.locator("input, select").all()
    )


def test_play_goes_step_by_step_for_who_wants_less_motion(browser):
    page = watched(browser, reduced_motion="reduce")
    figure = show_figure(page, MetaUpdate(moment=0))
    play = figure.get_by_role("button", name="Play")
    play.click()
    page.wait_for_timeout(1200)
    assert trait(figure, "moment") == 1
    page.context.close()


def test_without_javascript_the_picture_stays(browser):
    page = watched(browser, java_script_enabled=False)
    page.set_content(
        '<div class="moving-output"><img alt="still"></div>'
        '<script type="application/json">{}</script>'
    )
    assert page.locator("img").count() == 1
    page.context.close()


def test_the_words_of_a_figure_have_no_address_in_memory():
    figure = MetaUpdate()
    data, _ = figure._repr_mimebundle_()
    assert data["text/plain"] == repr(figure) and "0x" not in repr(figure)
    assert data["image/png"] and data["application/vnd.jupyter.widget-view+json"]


def test_colab_is_told_how_to_show_a_figure(monkeypatch):
    """Colab shows widgets of others only where their output names the manager that can."""
    output = SimpleNamespace(
        enable_custom_widget_manager=lambda: None,
        _widgets=SimpleNamespace(_installed_url="https://colab.test/manager.js"),
    )
    monkeypatch.setitem(sys.modules, "google.colab.output", output)
    data, metadata = MetaUpdate()._repr_mimebundle_()
    view = "application/vnd.jupyter.widget-view+json"
    assert metadata[view]["colab"]["custom_widget_manager"]["url"].endswith("manager.js")
    assert {view, "image/png", "text/plain"} <= set(data)
