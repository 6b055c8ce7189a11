"""What rbinfer logs is kept to itself or collected, and is heard again afterwards."""

import logging

import pytest

from rbtrain._logs import Said, collected, unheard

_LOGGER = logging.getLogger("rbinfer.measure.somewhere")


@pytest.mark.parametrize("error", [None, ValueError])
def test_rbinfer_is_unheard_and_heard_again(caplog, error):
    try:
        with unheard():
            _LOGGER.warning("of a frame that nobody has")
            logging.getLogger("rbtrain.data").warning("of the training")
            if error:
                raise error
    except ValueError:
        pass
    _LOGGER.warning("of a real one")
    assert caplog.messages == ["of the training", "of a real one"]


def test_what_is_collected_goes_nowhere_else(caplog):
    with collected() as said:
        _LOGGER.warning("no stars in %s", "it")
        logging.getLogger("rbtrain.judging").error("bad")
    _LOGGER.warning("later")
    assert said == [Said(logging.WARNING, "no stars in it"), Said(logging.ERROR, "bad")]
    assert caplog.messages == ["later"]
