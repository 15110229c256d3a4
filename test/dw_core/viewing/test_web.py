"""`dw view BAG --web` in a real browser: the run is on the picture, in the colours of the body's sides."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tools.chromium import PACKAGE, Chromium, program
from tools.view_picture import LIMIT_S, coloured, look, middle, served, shows_a_run

pytestmark = [
    pytest.mark.timeout(2 * LIMIT_S),
    pytest.mark.skipif(sys.version_info < (3, 11), reason="rerun's wheels need Python 3.11"),
    pytest.mark.skipif(
        program() is None and not os.environ.get("CI"), reason=f"no Chromium: apt-get install {PACKAGE}"
    ),
]


def test_a_browser_shows_the_skeleton_in_the_middle_and_the_views_beside_it(
    make_bag: Callable[..., Path],
) -> None:
    with served(make_bag()) as page, Chromium(limit_s=LIMIT_S) as browser:
        browser.open(page)
        full = look(browser, shows_a_run)
        # the same viewer, told of no data: it is up (not blank), and has nothing of the run
        browser.open(page.partition("?")[0])
        empty = look(browser, lambda picture: len(np.unique(picture)) > 20)
    assert min(coloured(middle(full))) > 30
    assert max(coloured(middle(empty))) < 10
    assert (cv2.absdiff(full, empty).max(-1) > 40).mean() > 0.2
