"""ament_python package; name, version, description and licence come from package.xml."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

package = ElementTree.parse(Path(__file__).parent / 'package.xml').getroot()
name = package.findtext('name')


def shipped(folder: str) -> list[tuple[str, list[str]]]:
    """data_files entries for every file below a top-level folder."""
    files = sorted(path for path in Path(folder).rglob('*') if path.is_file() and '__pycache__' not in path.parts)
    return [(f'share/{name}/{path.parent}', [str(path)]) for path in files]


# What the analysis needs on a laptop without ROS. `policy` adds playing and distilling, `train` reinforcement
# learning, `ray` sweeps on a Ray cluster, `ros` the ROS 2 wheels for a machine without a ROS distribution, `test` what
# `make test` uses. Exact versions: constraints.txt.
analysis = [
    'joblib',
    'lifelines',
    'matplotlib>=3.7',
    'mcap',
    'numpy',
    'pandas',
    'pillow',
    'plotly',
    'pyarrow',
    'pyyaml',
    'rosbags',
    'setuptools',
    'tqdm',
    'zstandard',
]
ray = ['ray']
policy = ['gymnasium', 'numba', 'opencv-python-headless', 'safetensors', 'torch']
train = ['mujoco', 'sb3-contrib', 'stable-baselines3']
ros = [
    'PyQt5',
    'cv-bridge',
    'pyqtgraph',
    'python-qt-binding',
    'ros-diagnostic-msgs',
    'ros-geometry-msgs',
    'ros-lifecycle-msgs',
    'ros-rcl-interfaces',
    'ros-rclpy',
    'ros-rmw-fastrtps-cpp',
    'ros-sensor-msgs',
    'ros-std-msgs',
    'ros-std-srvs',
    'ros-trajectory-msgs',
]
test = [
    'captum',
    'colcon-common-extensions',
    'colorspacious',
    'duckdb',
    'hypothesis',
    'mypy',
    'pandas-stubs',
    'playwright',
    'pre-commit',
    'pytest',
    'pytest-cov',
    'pytest-rerunfailures',
    'pytest-timeout',
    'pytest-xdist',
    'ruff',
    'types-pyyaml',
    'types-tqdm',
    'xarray',
]

setup(
    name=name,
    version=package.findtext('version'),
    description=package.findtext('description'),
    license=package.findtext('license'),
    maintainer=package.findtext('maintainer'),
    maintainer_email=package.find('maintainer').get('email'),
    python_requires='>=3.10',
    packages=find_packages(include=['maze_policy*', 'maze_introspection*']),
    package_data={
        'maze_policy': ['checkpoints/*'],
        'maze_introspection': ['explore/*.html', 'explore/*.css', 'explore/*.js'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{name}']),
        (f'share/{name}', ['package.xml', 'plugin.xml']),
        *shipped('config'),
        *shipped('gazebo'),
        *shipped('launch'),
        *shipped('security'),
    ],
    zip_safe=False,
    install_requires=analysis,
    extras_require={'policy': policy, 'train': train, 'ray': ray, 'ros': ros, 'test': test},
    entry_points={
        'console_scripts': [
            'maze-policy = maze_policy.cli:main',
            'maze-introspection = maze_introspection.cli:main',
            'simulator_node = maze_policy.simulator_node:main',
            'camera_node = maze_policy.camera_node:main',
            'ball_tracker_node = maze_policy.ball_tracker_node:main',
            'policy_node = maze_policy.policy_node:main',
            'arm_node = maze_policy.arm_node:main',
            'trial_node = maze_policy.trial_node:main',
            'introspection_node = maze_introspection.introspection_node:main',
            'recorder_node = maze_introspection.recorder_node:main',
        ],
    },
)
