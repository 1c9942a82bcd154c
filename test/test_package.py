"""package.xml, setup.py, constraints.txt and what the code really imports say the same."""

import ast
import importlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = ('maze_policy', 'maze_introspection')
sys.path.insert(0, str(ROOT / '.ci'))
from dependencies import DEPENDENCIES  # noqa: E402

PACKAGE = ElementTree.parse(ROOT / 'package.xml').getroot()
# rosdep keys that nothing imports: launch files, the default middleware, rqt and what config/maze.perspective opens
NOT_IMPORTED = {'launch', 'launch_ros', 'ros2launch', 'rmw_fastrtps_cpp'}
NOT_IMPORTED |= {'rqt_gui', 'rqt_gui_py', 'rqt_image_view', 'rqt_plot'}


def imports_of(paths) -> set[str]:
    """Top-level modules that these files import from outside the project and the standard library."""
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(node.module.split('.')[0])
    return found - set(sys.stdlib_module_names) - set(MODULES)


def declared() -> dict[str, list[str]]:
    """setup.py's requirements, by extra, as setuptools sees them."""
    code = (
        'import setuptools, json\n'
        'setuptools.setup = lambda **given: print(json.dumps(given))\n'
        'exec(compile(open("setup.py").read(), "setup.py", "exec"), {"__file__": "setup.py"})'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    given = json.loads(done.stdout)
    named = {'': given['install_requires'], **given['extras_require']}
    bare = {extra: [re.split('[<>=]', name)[0] for name in names] for extra, names in named.items()}
    return {**bare, 'all': given}


def test_every_import_is_declared_in_all_three_places():
    known = {row.module: row for row in DEPENDENCIES}
    imported = imports_of(path for module in MODULES for path in (ROOT / module).rglob('*.py'))
    # messages name their module in topics.py, not in an import
    imported |= set(re.findall(r"'(\w+)/msg/", (ROOT / 'maze_policy/topics.py').read_text()))
    assert imported <= set(known), 'not in .ci/dependencies.py'
    requirements = declared()
    keys = {element.text for element in PACKAGE.findall('exec_depend')}
    for module in imported:
        row = known[module]
        assert row.distribution in requirements[row.extra], f'{module} is missing in setup.py'
        assert row.rosdep is None or row.rosdep in keys, f'{module} is missing in package.xml'
    wanted = {known[module].rosdep for module in imported} - {None}
    assert keys - wanted == NOT_IMPORTED, 'package.xml asks for what nothing imports'


def test_setup_asks_for_nothing_that_nothing_imports():
    known = {row.distribution: row.module for row in DEPENDENCIES}
    imported = imports_of(path for module in MODULES for path in (ROOT / module).rglob('*.py'))
    imported |= set(re.findall(r"'(\w+)/msg/", (ROOT / 'maze_policy/topics.py').read_text()))
    requirements = declared()
    for extra in ('', 'policy', 'train', 'ros'):
        for distribution in requirements[extra]:
            # pyarrow: pandas' Parquet engine; PyQt5: what python_qt_binding and pyqtgraph bind to
            if distribution in ('setuptools', 'ros-rmw-fastrtps-cpp', 'pyarrow', 'PyQt5'):
                continue
            assert known[distribution] in imported, f'{distribution} is asked for and not used'


def test_the_dictionary_is_complete():
    requirements = declared()
    for extra in ('', 'policy', 'train', 'ros', 'test'):
        known = {row.distribution for row in DEPENDENCIES if row.extra == extra}
        assert set(requirements[extra]) - {'setuptools', 'ros-rmw-fastrtps-cpp'} == known


def test_every_requirement_is_pinned():
    pinned = {
        line.split('==')[0].lower().replace('_', '-')
        for line in (ROOT / 'constraints.txt').read_text().splitlines()
        if '==' in line
    }
    requirements = declared()
    for extra in ('', 'policy', 'train', 'ros', 'test'):
        for distribution in requirements[extra]:
            assert distribution.lower() in pinned | {'setuptools'}, f'{distribution} has no pin in constraints.txt'


def test_metadata_comes_from_package_xml():
    given = declared()['all']
    for name in ('name', 'version', 'license', 'description'):
        assert given[name] == PACKAGE.findtext(name)
    assert PACKAGE.findtext('license') == 'Apache-2.0'
    assert 'Apache License' in (ROOT / 'LICENSE').read_text()
    assert importlib.metadata.version('maze_introspection') == PACKAGE.findtext('version')
    assert PACKAGE.findtext('export/build_type') == 'ament_python'


def test_every_shipped_file_is_installed():
    installed = {source for _, sources in declared()['all']['data_files'] for source in sources}
    shipped = {
        str(path.relative_to(ROOT))
        for folder in ('config', 'launch', 'security')
        for path in (ROOT / folder).rglob('*.*')
    }
    assert {path for path in shipped if '__pycache__' not in path} <= installed
    assert {'package.xml', 'resource/maze_introspection'} <= installed


def test_every_part_of_the_report_is_installed():
    patterns = declared()['all']['package_data']['maze_introspection']
    folder = ROOT / 'maze_introspection'
    installed = {path for pattern in patterns for path in folder.glob(pattern)}
    assert {path for path in (folder / 'explore').iterdir() if path.is_file() and path.suffix != '.py'} == installed


def test_every_entry_point_exists():
    scripts = declared()['all']['entry_points']
    for entry in scripts['console_scripts']:
        module, function = entry.split('=')[1].strip().split(':')
        assert callable(getattr(importlib.import_module(module), function)), entry


@pytest.mark.timeout(600)
def test_colcon_builds_it_and_installs_what_ros2_needs(tmp_path):
    source = tmp_path / 'src' / 'maze_introspection'
    source.parent.mkdir()
    files = subprocess.run(
        ['git', 'ls-files', '-co', '--exclude-standard'], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for file in files:
        if (ROOT / file).is_file():
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            (source / file).write_bytes((ROOT / file).read_bytes())
    colcon = [sys.executable, '-m', 'colcon', '--log-base', str(tmp_path / 'log'), 'build', '--base-paths', 'src']
    environment = os.environ | {'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}'}
    done = subprocess.run(colcon, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    prefix = tmp_path / 'install' / 'maze_introspection'
    for executable in ('simulator_node', 'policy_node', 'introspection_node', 'recorder_node', 'maze-policy'):
        assert os.access(prefix / 'lib' / 'maze_introspection' / executable, os.X_OK)
    for file in files:
        if file.startswith(('config/', 'launch/', 'security/')) or file == 'package.xml':
            assert (prefix / 'share' / 'maze_introspection' / file).is_file(), file
    assert (prefix / 'share/ament_index/resource_index/packages/maze_introspection').is_file()
    assert list(prefix.rglob('maze_policy/checkpoints/nominal.safetensors'))
