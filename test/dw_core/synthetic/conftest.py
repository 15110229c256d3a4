"""The bodies, and takes of motion capture on one of them."""

import pytest

from dw_core.synthetic.body import load_body
from dw_core.synthetic.capture import load_capture
from dw_core.synthetic.retarget import retarget


@pytest.fixture(scope="session")
def body():
    return load_body()


@pytest.fixture(scope="session")
def clip_of(body, shared_data):
    """A take by its path below the shared data, as a capture and as a clip of a shape."""
    made = {}

    def make(path, shape="man-174"):
        if (path, shape) not in made:
            capture = load_capture(shared_data / path)
            made[path, shape] = capture, retarget(capture, body, body.shape(shape))
        return made[path, shape]

    return make
