"""How one dependency is called in the three worlds: Python's import, PyPI's distribution, rosdep's key.

setup.py declares which distributions are needed, package.xml which keys; this is only the dictionary between them, for
make_venv.py and for the test that holds package.xml, setup.py and the actual imports together.
"""

from __future__ import annotations

from typing import NamedTuple


class Dependency(NamedTuple):
    """`extra` is setup.py's; `rosdep` is None where rosdep has no key and pip must install it; `least` is a version."""

    module: str
    distribution: str
    rosdep: str | None
    extra: str
    least: tuple[int, ...] = ()


DEPENDENCIES = [
    Dependency('matplotlib', 'matplotlib', 'python3-matplotlib', '', (3, 7)),
    Dependency('mcap', 'mcap', 'mcap-ros2-support', ''),
    Dependency('PIL', 'pillow', 'python3-pil', ''),
    Dependency('joblib', 'joblib', 'python3-joblib', ''),
    Dependency('lifelines', 'lifelines', None, ''),
    Dependency('numpy', 'numpy', 'python3-numpy', ''),
    Dependency('pandas', 'pandas', 'python3-pandas', ''),
    Dependency('plotly', 'plotly', None, ''),
    Dependency('pyarrow', 'pyarrow', None, ''),
    Dependency('rosbags', 'rosbags', 'python3-rosbags-pip', ''),
    Dependency('tqdm', 'tqdm', 'python3-tqdm', ''),
    Dependency('yaml', 'pyyaml', 'python3-yaml', ''),
    Dependency('zstandard', 'zstandard', None, ''),  # no rosdep key; comes with mcap
    Dependency('cv2', 'opencv-python-headless', 'python3-opencv', 'policy'),
    Dependency('gymnasium', 'gymnasium', 'python3-gymnasium-pip', 'policy'),
    Dependency('numba', 'numba', 'python3-numba', 'policy'),
    Dependency('safetensors', 'safetensors', None, 'policy'),
    Dependency('torch', 'torch', 'python3-pytorch-pip', 'policy'),
    Dependency('mujoco', 'mujoco', 'python3-mujoco-pip', 'train'),
    Dependency('sb3_contrib', 'sb3-contrib', None, 'train'),
    Dependency('stable_baselines3', 'stable-baselines3', 'python3-stable-baselines3-pip', 'train'),
    Dependency('ray', 'ray', None, 'ray'),
    Dependency('cv_bridge', 'cv-bridge', 'cv_bridge', 'ros'),
    Dependency('diagnostic_msgs', 'ros-diagnostic-msgs', 'diagnostic_msgs', 'ros'),
    Dependency('geometry_msgs', 'ros-geometry-msgs', 'geometry_msgs', 'ros'),
    Dependency('lifecycle_msgs', 'ros-lifecycle-msgs', 'lifecycle_msgs', 'ros'),
    Dependency('rcl_interfaces', 'ros-rcl-interfaces', 'rcl_interfaces', 'ros'),
    Dependency('rclpy', 'ros-rclpy', 'rclpy', 'ros'),
    Dependency('sensor_msgs', 'ros-sensor-msgs', 'sensor_msgs', 'ros'),
    Dependency('std_msgs', 'ros-std-msgs', 'std_msgs', 'ros'),
    Dependency('std_srvs', 'ros-std-srvs', 'std_srvs', 'ros'),
    Dependency('trajectory_msgs', 'ros-trajectory-msgs', 'trajectory_msgs', 'ros'),
    Dependency('pyqtgraph', 'pyqtgraph', 'python3-pyqtgraph', 'ros'),
    Dependency('python_qt_binding', 'python-qt-binding', 'python_qt_binding', 'ros'),
    Dependency('PyQt5', 'PyQt5', None, 'ros'),
    Dependency('captum', 'captum', None, 'test'),
    Dependency('hypothesis', 'hypothesis', 'python3-hypothesis', 'test'),
    Dependency('pytest', 'pytest', 'python3-pytest', 'test'),
    Dependency('pytest_cov', 'pytest-cov', None, 'test'),
    Dependency('pytest_rerunfailures', 'pytest-rerunfailures', None, 'test'),
    Dependency('xdist', 'pytest-xdist', None, 'test'),
    Dependency('pytest_timeout', 'pytest-timeout', None, 'test'),
    Dependency('colcon_ros', 'colcon-common-extensions', None, 'test'),
    Dependency('colorspacious', 'colorspacious', None, 'test'),
    Dependency('duckdb', 'duckdb', None, 'test'),
    Dependency('mypy', 'mypy', None, 'test'),
    Dependency('pandas-stubs', 'pandas-stubs', None, 'test'),
    Dependency('playwright', 'playwright', None, 'test'),
    Dependency('pre_commit', 'pre-commit', None, 'test'),
    Dependency('ruff', 'ruff', None, 'test'),
    Dependency('tqdm-stubs', 'types-tqdm', None, 'test'),
    Dependency('yaml-stubs', 'types-pyyaml', None, 'test'),
    Dependency('xarray', 'xarray', 'python3-xarray', 'test'),
]
