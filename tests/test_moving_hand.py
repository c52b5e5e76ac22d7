"""The figure of the reader's hand computes what the network does, and answers to the pen."""

import pytest
import safetensors.torch
import torch
from browser import call, put, show_figure, told, watched

from meta_lib.moving import hand_network
from meta_lib.moving.hand import EXAMPLES, QUERY, Hand, picture
from meta_lib.networks import conv_network
from meta_lib.tasks.glyphs import glyphs

EMBEDDING = "(at, d) => at.module.embedding(at.module.tensors(at.model.get('weights')), d)"


def drawing(generator):
    strokes, points = torch.randint(1, 5, (2,), generator=generator).tolist()
    return torch.randint(0, 64, (strokes, 2 * points), generator=generator).tolist()


def test_the_page_embeds_as_torch_does(tab, generator):
    widget = Hand()
    figure = show_figure(tab, widget)
    for one in [[[20, 30]], *EXAMPLES, *(drawing(generator) for _ in range(40))]:
        shown = torch.tensor(call(figure, "picture", one))
        torch.testing.assert_close(shown.view(1, 28, 28), picture(one), rtol=1e-6, atol=1e-7)
        ours, theirs = widget.embeddings([one])[0], torch.tensor(figure.evaluate(EMBEDDING, one))
        assert (theirs - ours).norm() < 1e-5 * ours.norm()


def test_the_start_says_what_python_says(tab):
    widget = Hand()
    distances = widget.distances()
    said = put(show_figure(tab, widget))
    nearest, *others = sorted(distances, key=distances.get)
    assert f"nearest to {nearest}: D = {distances[nearest]:.2f}. Then" in said
    for name in others:
        assert f"{name} {distances[name]:.2f}" in said


def test_the_query_is_written_once_more_and_named_on_the_way(tab):
    figure = show_figure(tab, Hand())
    part = call(figure, "begun", [[0, 0, 10, 0], [0, 9, 0, 19]], 0.75)
    assert part == [[0, 0, 10, 0], [0, 9, 0, 14]]
    end = put(figure)
    for _ in range(2):  # by itself where a page opens, then by the button
        told(figure, end)
        figure.locator(".moving-readout", has_text=end).wait_for()
        figure.get_by_role("button", name="Write ? again").click()
    told(figure, end)
    assert put(figure, ways=4) != end and not figure.evaluate("at => at.model.get('query')") == []


def test_the_plane_is_that_of_the_principal_directions(tab, generator):
    figure = show_figure(tab, Hand())
    for count in (2, 3, 5):
        points = torch.randn(count, 32, generator=generator)
        shown = call(figure, "planeOf", points.tolist())
        u, s, _ = torch.linalg.svd(points - points.mean(dim=0), full_matrices=False)
        share = s[:2].square().sum() / s.square().sum()
        assert shown["share"] == pytest.approx(share.item(), abs=1e-6)
        theirs = torch.tensor(shown["places"])
        torch.testing.assert_close(
            torch.cdist(theirs, theirs), torch.cdist(*2 * [u[:, :2] * s[:2]]), rtol=1e-3, atol=1e-3
        )


def test_a_pen_draws_and_undo_takes_it_back(tab):
    figure = show_figure(tab, Hand(query=[[1, 1]]))
    put(figure, query=[])
    box = figure.get_by_role("application").locator("rect").bounding_box()

    def at(x, y):
        return box["x"] + x * box["width"] / 63, box["y"] + y * box["height"] / 63

    tab.mouse.move(*at(10, 10))
    tab.mouse.down()
    tab.mouse.move(*at(30, 10), steps=8)
    tab.mouse.move(*at(30, 50), steps=8)
    tab.mouse.up()
    [stroke] = figure.evaluate("at => at.model.get('query')")
    assert stroke == pytest.approx([10, 10, 30, 10, 30, 50], abs=1)
    assert "nearest to" in put(figure)
    tab.wait_for_timeout(400)
    assert len(tab.url) < 300
    tab.reload()
    tab.wait_for_selector("html[data-moving=ready]")
    assert figure.evaluate("at => at.model.get('query')") == [stroke]
    figure.get_by_role("button", name="Undo").click()
    assert "empty" in put(figure)


def test_the_keyboard_draws(tab):
    figure = show_figure(tab, Hand())
    put(figure, query=[])
    figure.get_by_role("application").focus()
    for key in ["Space", "ArrowRight", "ArrowRight", "ArrowDown", "Space", "ArrowDown"]:
        tab.keyboard.press(key)
    assert figure.evaluate("at => at.model.get('query')") == [[32, 32, 38, 32, 38, 35]]
    tab.keyboard.press("Backspace")
    assert figure.evaluate("at => at.model.get('query')") == []


def test_without_a_pen_examples_stand_in(tab):
    figure = show_figure(tab, Hand())
    figure.get_by_role("button", name="Empty paper").click()
    assert "no symbol yet" in put(figure)
    figure.get_by_role("button", name="An example").click()
    figure.get_by_role("button", name="Next").click()
    figure.get_by_role("button", name="An example").click()
    assert "paper is empty" in put(figure)
    figure.get_by_label("on the pad").select_option("?, the query")
    figure.get_by_role("button", name="An example").click()
    assert "nearest to" in put(figure)
    figure.get_by_role("button", name="Reset").click()
    assert figure.evaluate("at => at.model.get('query')") == QUERY


def test_any_state_is_drawn(tab):
    figure = show_figure(tab, Hand())
    for values in (
        {"support": [], "query": [[]]},
        {"support": [[[5]], [[1, 2, 3]], [[-9, 1e9, 1e308, 0.3]]], "query": [[0, 0] * 900]},
        {"support": [[[7, 7]]] * 5, "query": [[7, 7]], "ways": 3, "pad": 4},
        {"support": [[[7, 7]]] * 9, "query": [[7, 7, 7, 7]], "ways": 5, "pad": -1},
        {"support": EXAMPLES[:5], "query": QUERY, "ways": 3, "pad": 0.5},
    ):
        assert put(figure, **values)


def test_folding_changes_nothing():
    images = torch.cat(list(glyphs(4, drawers=6).values()))
    network = conv_network(8, filters=6, blocks=3, running_statistics=True)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.3 * torch.randn(weight.shape)
        network(images)  # the running statistics move
    network.eval()
    folded = hand_network.fold(network)
    torch.testing.assert_close(hand_network.embed(folded, images), network(images).detach())


def test_the_weights_can_be_made_again(generator):
    torch.set_default_dtype(torch.float32)
    network, losses = hand_network.train(glyphs(4, drawers=4), 3, generator, pairs=4)
    stored = safetensors.torch.load_file(hand_network.FILE)
    made = hand_network.fold(network)
    assert {name: t.shape for name, t in made.items()} == {n: t.shape for n, t in stored.items()}
    assert len(losses) == 3 and hand_network.FILE.stat().st_size < 80_000


def test_an_empty_drawing_is_refused():
    with pytest.raises(ValueError, match="at least one point"):
        picture([])


def test_empty_paper_can_be_shown_again():
    widget = Hand(support=[[], [[5, 5, 9, 9]], [], [], []], query=[])
    assert widget.distances() == {} and "nearest" not in widget.still().get_label()
    widget.query = [[5, 5, 9, 9], []]
    assert widget.distances() == {"B": 0.0}


def test_a_finger_draws_in_a_narrow_page(browser):
    tab = watched(browser, 360, has_touch=True)
    figure = show_figure(tab, Hand())
    put(figure, query=[])
    box = figure.get_by_role("application").locator("rect").bounding_box()
    assert box["width"] > 200
    before, touch = tab.evaluate("scrollY"), tab.context.new_cdp_session(tab)
    for kind, share in [("touchStart", 0.2), *2 * [("touchMove", 0.5)], ("touchMove", 0.8)]:
        point = {"x": box["x"] + 0.5 * box["width"], "y": box["y"] + share * box["height"]}
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    put(figure)
    [stroke] = figure.evaluate("at => at.model.get('query')")
    assert stroke[1] < 16 and stroke[-1] > 46 and tab.evaluate("scrollY") == before
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert not tab.faults
    tab.context.close()
