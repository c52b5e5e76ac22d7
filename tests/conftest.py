"""What all tests share: 64 bits, as in the chapters, and seeded random numbers."""

import signal

import pytest
import torch
from browser import CHROMIUM, chromium, watched


@pytest.fixture(autouse=True)
def double_precision():
    """Run every test in float64, so that finite differences and closed forms are exact enough."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(autouse=True, scope="session")
def ctrl_c():
    """Let Ctrl-C interrupt; in what a shell starts in the background it does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def generator():
    """Give the test a generator of its own."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def browser():
    """Share one browser; without one, skip loudly."""
    if CHROMIUM is None:
        pytest.skip("NO CHROMIUM: the moving figures were NOT tested. Install it, or set CHROMIUM=")
    with chromium() as started:
        yield started


@pytest.fixture
def tab(browser):
    """Open an empty page of the browser, and see afterwards that nothing went wrong on it."""
    page = watched(browser)
    yield page
    page.context.close()
    assert not page.faults
