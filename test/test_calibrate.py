import dataclasses
import re

import cv2
import numpy as np
import pytest
import yaml
from looking import average, off_m, scene_camera
from PIL import Image

from maze_policy import cli
from maze_policy.board import BoardConfig
from maze_policy.calibrate import average as mean_picture
from maze_policy.calibrate_config import CalibrateConfig, MarkerConfig
from maze_policy.camera_info import load_calibration
from maze_policy.markers import find_markers

CAMERA = scene_camera('real_like', 0)


def camera_info(camera, path, model='plumb_bob', size=(640, 480)):
    k, d = camera.pinhole.matrix, [0.0] * {'plumb_bob': 5, 'equidistant': 4}[model]
    matrices = {'camera_matrix': k, 'rectification_matrix': np.eye(3), 'projection_matrix': np.eye(4)[:3]}
    matrices['projection_matrix'] = np.column_stack([k, np.zeros(3)])
    values = {
        name: {'rows': len(matrix), 'cols': matrix.shape[1], 'data': matrix.ravel().tolist()}
        for name, matrix in matrices.items()
    }
    values['distortion_coefficients'] = {'rows': 1, 'cols': len(d), 'data': d}
    values |= {'image_width': size[0], 'image_height': size[1], 'distortion_model': model, 'camera_name': 'c'}
    path.write_text(yaml.safe_dump(values))
    load_calibration(path)
    return path


def write(path, image):
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture
def picture(tmp_path):
    return write(tmp_path / 'level.png', average(CAMERA))


@pytest.fixture
def info(tmp_path):
    return camera_info(CAMERA, tmp_path / 'camera.yaml')


def run(*arguments):
    return cli.main(['calibrate', *map(str, arguments)])


def board_in(path):
    return BoardConfig.from_dict(yaml.safe_load(path.read_text())['/**']['ros__parameters']['board'])


@pytest.mark.parametrize('method', ['markers', 'circle'])
def test_writes_the_board_and_shows_it(tmp_path, capsys, picture, info, method):
    out, shown = tmp_path / 'board.yaml', tmp_path / 'shown.png'
    assert run(picture, '--out', out, '--picture', shown, '--camera-info', info, '--method', method) == 0
    assert off_m(board_in(out).camera, CAMERA.pinhole).max() < 5e-4
    told = capsys.readouterr().out
    assert f'by method {method}' in told
    assert 'walls on 100% of the lines' in told
    assert told.splitlines()[3].endswith(': good')
    assert 'board is turned by 1.' in told
    assert told.splitlines()[0] in out.read_text()
    drawing = np.asarray(Image.open(shown))
    assert drawing.shape[:2] > (960, 1279)
    assert (drawing[960:] == 255).any(), 'what was told stands below'
    x, y = 2 * CAMERA.pinhole.pixels(np.array([[0.0, 0.077, 0.005]]))[0] + 0.5
    around = drawing[round(y) - 3 : round(y) + 4, round(x) - 25]
    assert (around[:, 1].astype(int) - around[:, 0] > 60).any(), 'a green line along the wall'


def test_every_value_in_the_file_says_what_it_means(tmp_path, picture, info):
    run(picture, '--out', tmp_path / 'b.yaml', '--camera-info', info)
    text = (tmp_path / 'b.yaml').read_text().splitlines()
    for field in dataclasses.fields(BoardConfig):
        line = next(number for number, line in enumerate(text) if line.strip().startswith(f'{field.name}:'))
        assert text[line - 1].strip().startswith('#')
    assert max(map(len, text)) < 160


@pytest.mark.parametrize(
    ('arguments', 'says'),
    [
        ([], 'want --camera-info FILE .* or --distance-m'),
        (['--distance-m', '0.45', '--marker-ids', '4', '5', '6', '7'], 'want at least 3 of the markers 4, 5, 6, 7'),
        (['--distance-m', '0.45', '--marker-dictionary', 'DICT_4X4'], "got 'DICT_4X4'; did you mean"),
        (['--distance-m', '-1'], 'distance_m wants 0.0 to 10.0'),
    ],
)
def test_bad_options_end_with_a_sentence(tmp_path, capsys, picture, arguments, says):
    assert run(picture, '--out', tmp_path / 'b.yaml', *arguments) == 2
    assert re.search(says, capsys.readouterr().err)
    assert not (tmp_path / 'b.yaml').exists()


@pytest.mark.parametrize(
    ('settings', 'says'),
    [
        ({'model': 'equidistant'}, 'want a calibration of model plumb_bob or rational_polynomial, got equidistant'),
        ({'size': (1280, 720)}, 'the calibration is for pictures of 1280 x 720 px'),
    ],
)
def test_refuses_a_lens_that_is_not_that_of_the_picture(tmp_path, capsys, picture, settings, says):
    info = camera_info(CAMERA, tmp_path / 'other.yaml', **settings)
    assert run(picture, '--out', tmp_path / 'b.yaml', '--camera-info', info) == 2
    assert says in capsys.readouterr().err


def test_a_source_that_is_not_there_ends_with_a_sentence(tmp_path, capsys):
    assert run(tmp_path / 'none.avi', '--out', tmp_path / 'b.yaml', '--distance-m', 0.5) == 2
    assert 'there is no' in capsys.readouterr().err


def test_averages_what_a_folder_has(tmp_path):
    """Fewer pictures than wanted are no error; the noise is less."""
    folder = tmp_path / 'pictures'
    folder.mkdir()
    camera = scene_camera('nominal', 0)
    images = [np.clip(camera.picture((0, 0.03), (0, 0)) + np.full((480, 640, 3), level), 0, 255) for level in (0, 2, 4)]
    for number, image in enumerate(images):
        write(folder / f'{number}.png', image.astype(np.uint8))
    mean = mean_picture(str(folder), CalibrateConfig(pictures=10))
    np.testing.assert_allclose(mean, np.mean(images, axis=0), atol=0.51)


@pytest.mark.parametrize('ending', ['png', 'pdf'])
def test_prints_the_markers_in_true_size(tmp_path, ending):
    path = tmp_path / f'markers.{ending}'
    assert cli.main(['markers', '--out', str(path), '--marker-side-m', '0.03']) == 0
    if ending == 'pdf':
        text = path.read_bytes()
        box = text[text.index(b'/MediaBox') :].split(b']')[0].split(b'[')[1].split()
        np.testing.assert_allclose([float(side) / 72 * 25.4 for side in box[2:]], [297, 210], atol=0.1)
        return
    page = Image.open(path)
    per_m = page.info['dpi'][0] / 0.0254
    assert page.width / per_m == pytest.approx(0.297, abs=1e-4)
    found = find_markers(np.asarray(page), MarkerConfig())
    assert list(found) == [0, 1, 2, 3]
    for corners in found.values():
        assert np.linalg.norm(corners[1] - corners[0]) / per_m == pytest.approx(0.03, abs=1e-4)


def test_markers_that_fit_on_no_page_are_refused(tmp_path, capsys):
    assert cli.main(['markers', '--out', str(tmp_path / 'm.pdf'), '--marker-side-m', '0.08']) == 2
    assert 'marker_side_m wants at most 0.05' in capsys.readouterr().err
    assert cli.main(['markers', '--out', str(tmp_path / 'm.svg')]) == 2
    assert 'want a .pdf or .png' in capsys.readouterr().err
