import numpy as np
import pytest

from maze_policy.observation import observe


def test_takes_the_centre_square():
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, :80] = image[:, 560:] = 255
    assert not observe(image).any()
    image[:, 80:560] = (10, 10, 10)
    assert (observe(image) == 10).all()


def test_keeps_the_direction_of_the_axes_and_averages_areas():
    image = np.zeros((168, 168, 3), np.uint8)
    image[:2, :2] = 200  # the top left observation pixel
    image[2, 166] = 100  # a quarter of the pixel one below the top right
    small = observe(image)
    assert small[0, 0] == 200
    assert small[1, 83] == 25
    assert np.count_nonzero(small) == 2


def test_grey_weighs_the_channels_as_the_eye_does():
    greys = [int(observe(np.full((84, 84, 3), color, np.uint8))[0, 0]) for color in np.eye(3, dtype=np.uint8) * 255]
    assert greys == [76, 150, 29]


@pytest.mark.parametrize(
    ('shape', 'dtype', 'message'),
    [
        ((480, 640), np.uint8, 'want an rgb8 image'),
        ((480, 640, 4), np.uint8, 'want an rgb8 image'),
        ((480, 640, 3), np.float32, 'want an rgb8 image'),
        ((480, 320, 3), np.uint8, 'at least as wide as high.*got 320 x 480'),
        ((60, 80, 3), np.uint8, '84 px high, got 80 x 60'),
    ],
)
def test_rejects_other_images(shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        observe(np.zeros(shape, dtype))
