"""`maze-policy markers`: the four markers in true size, to be printed and cut out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from maze_policy.calibrate_config import MarkerConfig
from maze_policy.markers import marker_picture

UInt8 = npt.NDArray[np.uint8]

PAPER_M, DPI = (0.297, 0.21), 600  # A4, lying
RULER_M = 0.1


def save_markers(path: Path, markers: MarkerConfig) -> None:
    """Write the four markers in true size on an A4 page: PDF, or PNG with its resolution in it.

    Raises:
        ValueError: on another ending, or markers too large for the page.
    """
    if path.suffix.lower() not in ('.pdf', '.png'):
        raise ValueError(f'want a .pdf or .png for the markers, got {path}')
    per_m = DPI / 0.0254
    page = np.full([round(side * per_m) for side in PAPER_M[::-1]], 255, np.uint8)
    sheet = marker_picture(markers, markers.marker_ids[0], 1)
    cells = len(sheet)
    side_px = round(markers.marker_side_m * per_m * cells / (cells - 2))
    pitch_px = page.shape[1] // 4
    if side_px > min(pitch_px, page.shape[0] // 2):
        raise ValueError(f'marker_side_m wants at most {pitch_px / per_m * (cells - 2) / cells:.3f} m for an A4 page')
    names = ('top left', 'top right', 'bottom right', 'bottom left')
    for number, (identity, name) in enumerate(zip(markers.marker_ids, names)):
        sheet = marker_picture(markers, identity, 1)
        large = cv2.resize(sheet, (side_px, side_px), interpolation=cv2.INTER_NEAREST)
        left = number * pitch_px + (pitch_px - side_px) // 2
        top = page.shape[0] // 4 - side_px // 2
        page[top : top + side_px, left : left + side_px] = large
        cv2.rectangle(page, (left, top), (left + side_px, top + side_px), 160, 2)  # where to cut
        _label(page, f'{name}, id {identity}', (left, top + side_px + 120))
    left, bottom = pitch_px // 2, page.shape[0] * 2 // 3
    right = left + round(RULER_M * per_m)
    for x in (left, right):
        cv2.line(page, (x, bottom - 60), (x, bottom + 60), 0, 4)
    cv2.line(page, (left, bottom), (right, bottom), 0, 4)
    _label(page, 'This line is 100 mm long: print at 100 %, without fitting to the page.', (left, bottom + 160))
    _label(
        page,
        f'{markers.marker_dictionary}, black square {markers.marker_side_m * 1e3:g} mm. Upright beside the board, '
        'middles at (mm): '
        + '; '.join(f'{x * 1e3:g}, {y * 1e3:g}' for x, y in np.reshape(markers.marker_place_m, (4, 2))),
        (left, bottom + 260),
    )
    if path.suffix.lower() == '.pdf':
        Image.fromarray(page).save(path, resolution=DPI)
    else:
        Image.fromarray(page).save(path, dpi=(DPI, DPI))


def _label(page: UInt8, text: str, at: tuple[int, int]) -> None:
    cv2.putText(page, text, at, cv2.FONT_HERSHEY_SIMPLEX, 2.0, 0, 4, cv2.LINE_AA)
