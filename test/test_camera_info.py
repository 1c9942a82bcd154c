import numpy as np
import pytest
import yaml

from maze_policy.camera_info import load_calibration, uncalibrated

# Word for word what camera_calibration_parsers writes for a webcam.
WEBCAM = """image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [533.5, 0, 316.25, 0, 534, 244.75, 0, 0, 1]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.25, 0.0625, 0.001, -0.002, 0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
projection_matrix:
  rows: 3
  cols: 4
  data: [500, 0, 315, 0, 0, 520, 245, 0, 0, 0, 1, 0]
"""


def written(tmp_path, change):
    values = yaml.safe_load(WEBCAM)
    change(values)
    path = tmp_path / 'camera.yaml'
    path.write_text(yaml.safe_dump(values))
    return path


def matrix(rows, cols, data):
    return {'rows': rows, 'cols': cols, 'data': data}


def test_the_usual_file_is_read(tmp_path):
    path = tmp_path / 'camera.yaml'
    path.write_text(WEBCAM)
    camera = load_calibration(path)
    assert (camera.name, camera.width_px, camera.height_px, camera.model) == ('narrow_stereo', 640, 480, 'plumb_bob')
    np.testing.assert_array_equal(camera.k, [[533.5, 0, 316.25], [0, 534, 244.75], [0, 0, 1]])
    np.testing.assert_array_equal(camera.d, [-0.25, 0.0625, 0.001, -0.002, 0])
    np.testing.assert_array_equal(camera.r, np.eye(3))
    np.testing.assert_array_equal(camera.p, [[500, 0, 315, 0], [0, 520, 245, 0], [0, 0, 1, 0]])
    assert camera.calibrated
    camera.require_size(640, 480)
    with pytest.raises(ValueError, match=r'640 x 480 px, the camera gives 1280 x 720 px'):
        camera.require_size(1280, 720)


@pytest.mark.parametrize(
    ('model', 'count'), [('plumb_bob', 4), ('rational_polynomial', 8), ('rational_polynomial', 14), ('equidistant', 4)]
)
def test_every_model_of_ros_is_taken_and_a_name_may_be_missing(tmp_path, model, count):
    def change(values):
        values |= {'distortion_model': model, 'distortion_coefficients': matrix(count, 1, [0.5] * count)}
        del values['camera_name']
        values['reprojection_error'] = 0.1

    camera = load_calibration(written(tmp_path, change))
    assert (camera.model, camera.d.tolist(), camera.name) == (model, [0.5] * count, '')


def test_without_a_calibration_all_is_zero():
    camera = uncalibrated(320, 240)
    assert not camera.calibrated
    assert not any(values.any() for values in (camera.k, camera.d, camera.r, camera.p))
    camera.require_size(320, 240)


@pytest.mark.parametrize(
    ('name', 'value', 'why'),
    [
        ('image_width', 640.0, 'image_width as a whole number of px, got 640.0'),
        ('image_height', 0, 'image_height as a whole number'),
        ('image_height', True, 'image_height as a whole number'),
        ('distortion_model', 'fisheye', 'plumb_bob, rational_polynomial, equidistant, got .fisheye'),
        (
            'distortion_coefficients',
            matrix(1, 8, [0.0] * 8),
            'want 4 or 5 distortion_coefficients for plumb_bob, got 8',
        ),
        ('camera_matrix', [533.5, 0, 316.25], 'camera_matrix with rows, cols and data'),
        ('camera_matrix', matrix(1, 9, [1.0] * 9), 'camera_matrix of 3 x 3, got 1 x 9'),
        ('distortion_coefficients', matrix(None, 1, []), 'of 1 x n, got None x 1'),
        ('camera_matrix', matrix(3, 3, [1.0] * 8), 'want 9 finite numbers as data of camera_matrix'),
        ('camera_matrix', matrix(3, 3, [float('nan')] + [1.0] * 8), 'want 9 finite numbers'),
        ('camera_matrix', matrix(3, 3, ['1'] * 9), 'want 9 finite numbers'),
        ('camera_matrix', matrix(3, 3, [0.0] * 8 + [1.0]), 'camera_matrix with positive focal lengths'),
        ('camera_matrix', matrix(3, 3, [5.0, 0, 1, 0, 5, 1, 0, 0, 2]), 'last row 0 0 1, got 5, 5 and 0 0 2'),
        ('rectification_matrix', matrix(3, 3, [2.0, 0, 0, 0, 1, 0, 0, 0, 1]), 'want a rotation'),
        ('rectification_matrix', matrix(3, 3, [-1.0, 0, 0, 0, 1, 0, 0, 0, 1]), 'want a rotation'),
        ('projection_matrix', matrix(3, 3, [1.0] * 9), 'projection_matrix of 3 x 4, got 3 x 3'),
    ],
)
def test_nothing_else_is_taken(tmp_path, name, value, why):
    path = written(tmp_path, lambda values: values.update({name: value}))
    with pytest.raises(ValueError, match=why) as caught:
        load_calibration(path)
    assert str(caught.value).startswith(f'{path}: ')


@pytest.mark.parametrize('name', [name for name in yaml.safe_load(WEBCAM) if name != 'camera_name'])
def test_whatever_is_missing_is_named(tmp_path, name):
    with pytest.raises(ValueError, match=f'want {name}, got only '):
        load_calibration(written(tmp_path, lambda values: values.pop(name)))


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match=r'got .*none\.yaml: No such file.*cameracalibrator'):
        load_calibration(tmp_path / 'none.yaml')
    path = tmp_path / 'camera.yaml'
    path.write_bytes(b'\xff\xfe\x00\x01')
    with pytest.raises(ValueError, match='not a text file'):
        load_calibration(path)
    path.write_text('[1, 2')
    with pytest.raises(ValueError, match='want YAML'):
        load_calibration(path)
    path.write_text('- 1\n')
    with pytest.raises(ValueError, match='got list'):
        load_calibration(path)
