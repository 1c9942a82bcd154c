import numpy as np
import pytest

from maze_policy import messages, topics
from maze_policy.arm import Waypoint
from maze_policy.config import CameraConfig

HEADER = messages.header_at(1_234_567_890_123_456_789, 'camera')
RANDOM = np.random.default_rng(0)


def test_stamp_survives_to_the_nanosecond():
    assert messages.stamp_ns(HEADER) == 1_234_567_890_123_456_789
    assert HEADER.frame_id == 'camera'


@pytest.mark.parametrize(('shape', 'encoding'), [((48, 64, 3), 'rgb8'), ((84, 84), 'mono8')])
def test_picture_round_trip(shape, encoding):
    pixels = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    message = messages.picture_message(HEADER, pixels)
    assert (message.encoding, message.height, message.width, message.header) == (encoding, *shape[:2], HEADER)
    assert message.step == shape[1] * (3 if encoding == 'rgb8' else 1)
    np.testing.assert_array_equal(messages.picture(message, encoding, shape[:2]), pixels)


@pytest.mark.parametrize('shape', [(4, 256), (1, 5), (5, 257), (1, 1)])
def test_matrix_round_trip_is_exact_to_the_bit(shape):
    values = RANDOM.normal(size=shape).astype(np.float32)
    values[0, 0] = np.nan
    message = messages.matrix_message(HEADER, values)
    assert (message.encoding, message.header) == ('32FC1', HEADER)
    back = messages.matrix(message, shape)
    assert back.dtype == np.float32
    assert back.tobytes() == values.tobytes()


def test_vector_travels_as_one_row():
    assert messages.matrix(messages.matrix_message(HEADER, np.zeros(7))).shape == (1, 7)


def test_round_trip_over_the_wire():
    from rclpy.serialization import deserialize_message, serialize_message

    values = RANDOM.normal(size=(4, 128)).astype(np.float32)
    message = messages.matrix_message(HEADER, values)
    back = deserialize_message(serialize_message(message), type(message))
    np.testing.assert_array_equal(messages.matrix(back, (4, None)), values)


def broken(**changes):
    message = messages.matrix_message(HEADER, np.zeros((4, 8), np.float32))
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ('message', 'shape', 'says'),
    [
        (broken(encoding='64FC1'), (4, 8), "want encoding 32FC1, got '64FC1'"),
        (broken(is_bigendian=1), (4, 8), 'want little-endian'),
        (broken(), (4, 9), 'want 4 x 9 of 32FC1, got 4 x 8'),
        (broken(), (2, None), 'want 2 x n of 32FC1, got 4 x 8'),
        (broken(height=0, data=b''), (None, None), 'got 0 x 8'),
        (broken(width=0, step=0, data=b''), (None, None), 'got 4 x 0'),
        (broken(step=40), (4, 8), 'want a step of 32 B for 8 px of 32FC1, got 40 B'),
        (broken(data=b'\0' * 127), (4, 8), 'want 128 B of data, got 127 B'),
        (broken(height=5), (5, 8), 'want 160 B of data, got 128 B'),
    ],
)
def test_a_malformed_matrix_is_refused_with_what_was_wanted_and_what_came(message, shape, says):
    with pytest.raises(ValueError, match=says):
        messages.matrix(message, shape)


def test_a_bgr_picture_is_not_taken_for_rgb():
    message = messages.picture_message(HEADER, np.zeros((8, 8, 3), np.uint8))
    message.encoding = 'bgr8'
    with pytest.raises(ValueError, match="want encoding rgb8, got 'bgr8'"):
        messages.picture(message, 'rgb8')


@pytest.mark.parametrize(
    'array', [np.zeros((0, 8), np.uint8), np.zeros((8, 8), np.float32), np.zeros((8, 8, 4), np.uint8)]
)
def test_only_what_the_encoding_can_hold_is_sent(array):
    with pytest.raises(ValueError, match='want a non-empty uint8 array'):
        messages.picture_message(HEADER, array)


def test_an_empty_matrix_is_not_sent():
    with pytest.raises(ValueError, match='non-empty'):
        messages.matrix_message(HEADER, np.zeros((0, 6)))


def test_tilt_and_ball_round_trip():
    np.testing.assert_array_equal(messages.tilt(messages.tilt_message(HEADER, np.array([0.01, -0.02]))), [0.01, -0.02])
    np.testing.assert_array_equal(messages.ball(messages.ball_message(HEADER, np.array([0.09, -0.01]))), [0.09, -0.01])


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_tilt_that_is_not_finite_is_refused(bad):
    with pytest.raises(ValueError, match='want a finite tilt'):
        messages.tilt(messages.tilt_message(HEADER, np.array([0.0, bad])))


def test_camera_info_projects_the_view_onto_the_image_height():
    camera = CameraConfig()
    info = messages.camera_info_message(HEADER, camera, view_m=0.2)
    k = np.array(info.k).reshape(3, 3)
    top, bottom = (k @ [0.0, y, camera.distance_m] / camera.distance_m for y in (-0.1, 0.1))
    assert bottom[1] - top[1] == pytest.approx(camera.height_px)
    assert (top[1] + bottom[1]) / 2 == pytest.approx((camera.height_px - 1) / 2)
    assert (info.width, info.height, info.header) == (640, 480, HEADER)
    np.testing.assert_array_equal(np.array(info.p).reshape(3, 4)[:, :3], k)


def test_watched_says_which_channels_and_columns_it_holds():
    gates = RANDOM.random((4, 16)).astype(np.float32)
    share = RANDOM.random(16).astype(np.float32)
    message = messages.watched_message((3, 11), gates, share)
    channels, columns = message.layout.dim
    assert (channels.label, channels.size, channels.stride) == ('channel 3 11', 2, 10)
    assert (columns.label.split(), columns.size) == (list(messages.WATCHED_ROWS), 5)
    values = np.array(message.data, np.float32).reshape(2, 5)
    np.testing.assert_array_equal(values[1], [*gates[:, 11], share[11]])


def test_diagnostics_keep_level_reason_and_numbers():
    message = messages.diagnostics_message(HEADER, '/maze/policy', 1, 'refused stale', {'frames': 3, 'why': 'old'})
    status = message.status[0]
    assert (status.level, status.name, status.message) == (b'\x01', '/maze/policy', 'refused stale')
    assert {pair.key: pair.value for pair in status.values} == {'frames': '3', 'why': 'old'}


@pytest.mark.parametrize('topic', topics.ALL, ids=lambda topic: topic.name)
def test_every_type_of_the_contract_is_installed(topic):
    assert messages.message_class(topic.type).__name__ == topic.type.split('/')[-1]


@pytest.mark.parametrize('name', ['sensor_msgs/msg/Imag', 'nothing_msgs/msg/X', 'Image'])
def test_an_unknown_type_is_named(name):
    with pytest.raises(ValueError, match=f"got '{name}'"):
        messages.message_class(name)


def test_a_trajectory_says_when_where_and_how_fast():
    way = [Waypoint(0.03, np.array([0.1, 0.2]), np.array([0.3, 0.4])), Waypoint(1.25, np.zeros(2), np.zeros(2))]
    message = messages.trajectory_message(('one', 'two'), way)
    assert message.joint_names == ['one', 'two']
    assert [(p.time_from_start.sec, p.time_from_start.nanosec) for p in message.points] == [
        (0, 30_000_000),
        (1, 250_000_000),
    ]
    assert [list(p.positions) for p in message.points] == [[0.1, 0.2], [0.0, 0.0]]
    assert [list(p.velocities) for p in message.points] == [[0.3, 0.4], [0.0, 0.0]]


def test_joint_positions_come_in_the_order_that_is_wanted():
    state = messages.JointState(name=['b', 'gripper', 'a'], position=[2.0, 9.0, 1.0])
    assert messages.joint_positions(state, ('a', 'b')).tolist() == [1.0, 2.0]
    assert messages.joint_positions(state, ('a', 'c')) is None, 'another arm'
    with pytest.raises(ValueError, match='want a position for each of 3 joints, got 1'):
        messages.joint_positions(messages.JointState(name=['b', 'gripper', 'a'], position=[2.0]), ('a', 'b'))
    with pytest.raises(ValueError, match='want finite joint positions'):
        messages.joint_positions(messages.JointState(name=['a'], position=[np.nan]), ('a',))
