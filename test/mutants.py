"""Change one thing in the code and see that a test fails: a test suite that lets a wrong number pass shows here.

    python test/mutants.py                  every mutant; which survive
    python test/mutants.py 3 17 --show      these alone, with the tests' output

A mutant is one operator, constant, argument or statement changed. It lives in a forked process, which imports the
mutated module in place of the real one. Survivors must be in `equivalent.py`, each with the argument why no number can
change. Ours, because mutmut 3 finds no test for any mutant of a package that is installed editable, changes nothing
outside functions, and has no place for such an argument.
"""

import argparse
import ast
import importlib.abc
import importlib.util
import os
import resource
import signal
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MODULES = ('maze_introspection.contribution', 'maze_introspection.offset')
FURTHER = ('test_properties.py', 'test_introspection.py', 'test_analysis.py')  # after its own
LIMIT_S = 120  # of CPU time; all tests together take a tenth of it

OPERATORS = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div, ast.Add), ast.Div: (ast.Mult,),
    ast.BitAnd: (ast.BitOr, ast.BitXor), ast.BitOr: (ast.BitAnd, ast.BitXor),
}  # fmt: skip
NAMES = {
    'zeros': 'ones', 'maximum': 'minimum', 'minimum': 'maximum', 'min': 'max', 'max': 'min', 'any': 'all', 'all': 'any',
    'argmax': 'argmin', 'cumsum': 'cumprod', 'sum': 'prod', 'float64': 'float32', 'int32': 'int16', 'right': 'left',
    'C': 'F', 'stable': 'quicksort', 'iu': 'iuf',
}  # fmt: skip


class Mutant(NamedTuple):
    """One change."""

    module: str
    line: int
    code: str  # the statement's first line, as it was
    change: str
    source: str


def mutants():
    """Every mutant there is, in the order of the code."""
    return [mutant for module in MODULES for mutant in _mutants_of(module)]


def _mutants_of(module):
    path = ROOT / (module.replace('.', '/') + '.py')
    source = path.read_text()
    lines = source.split('\n')
    tree = ast.parse(source)
    found = []
    for node, parent, field, index in _code(tree):
        for change, new in _changes(node, parent):
            old = getattr(parent, field)
            if index is None:
                setattr(parent, field, new)
            else:
                old = old[index]
                getattr(parent, field)[index] = new
            ast.fix_missing_locations(tree)
            made = ast.unparse(tree)
            if index is None:
                setattr(parent, field, old)
            else:
                getattr(parent, field)[index] = old
            line = _line_of(node, parent)
            again = sum(other.line == line and other.change.split(' #')[0] == change for other in found)
            named = f'{change} #{again + 1}' if again else change  # one statement may have two of its kind
            found.append(Mutant(module, line, lines[line - 1].strip(), named, made))
    return sorted(found, key=lambda mutant: mutant.line)


def _line_of(node, parent):
    return getattr(node, 'lineno', None) or parent.lineno


def _code(tree):
    """Every node that computes something, with its place: no annotation, docstring, or text of an error."""
    waiting = [tree]
    while waiting:
        parent = waiting.pop(0)
        for field, value in ast.iter_fields(parent):
            if field in ('annotation', 'returns', 'type_comment') or isinstance(parent, (ast.Raise, ast.JoinedStr)):
                continue
            for index, node in enumerate(value if isinstance(value, list) else [value]):
                if not isinstance(node, ast.AST) or _is_text(node):
                    continue
                yield node, parent, field, index if isinstance(value, list) else None
                waiting.append(node)


def _is_text(node):
    """A docstring, or the name of a type."""
    is_type = isinstance(node, ast.Assign) and 'NDArray' in ast.unparse(node.value)
    return is_type or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _changes(node, parent):
    """What can be wrong with a node: (what, new node)."""
    for other in OPERATORS.get(type(node), ()):
        yield f'{type(node).__name__} -> {other.__name__}', other()
    match node:
        case ast.Constant(value=bool() as value):
            yield f'{value} -> {not value}', ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            for other in dict.fromkeys((value + 1, value - 1, -value if value not in (0, 1) else value + 1)):
                yield f'{value} -> {other}', ast.Constant(other)
        case ast.Constant(value=str() as value) if value in NAMES:
            yield f'{value!r} -> {NAMES[value]!r}', ast.Constant(NAMES[value])
        case ast.UnaryOp(op=ast.Not() | ast.Invert() | ast.USub() as op, operand=operand):
            yield f'without {type(op).__name__}', operand
        case ast.Attribute(attr=name) if name in NAMES:
            yield f'{name} -> {NAMES[name]}', ast.Attribute(node.value, NAMES[name], node.ctx)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield 'if and else swapped', ast.IfExp(test, orelse, body)
        case ast.If(body=body, orelse=orelse):
            yield 'if True', ast.If(ast.Constant(True), body, orelse)
            yield 'if False', ast.If(ast.Constant(False), body, orelse)
        case ast.Slice(lower=lower, upper=upper, step=step):
            for name, part in (('lower', lower), ('upper', upper), ('step', step)):
                if part is not None:
                    yield (
                        f'slice without {name}',
                        ast.Slice(*(None if other is part else other for other in (lower, upper, step))),
                    )
        case ast.Call(func=function, args=args, keywords=keywords):
            for keyword in keywords:
                left = [other for other in keywords if other is not keyword]
                yield f'without {keyword.arg}=', ast.Call(function, args, left)
            if (
                isinstance(function, ast.Attribute)
                and not isinstance(function.value, ast.Name)
                and not isinstance(parent, ast.Expr)
            ):
                yield f'without .{function.attr}()', function.value
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]) | ast.AugAssign() | ast.Expr() | ast.Raise():
            yield 'statement gone', ast.Pass()
        case ast.Return(value=ast.AST()):
            yield 'returns None', ast.Return(ast.Constant(None))


class _InPlaceOf(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import a module from another source."""

    def __init__(self, mutant):
        self._mutant = mutant

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name == self._mutant.module else None

    def exec_module(self, module):
        exec(compile(self._mutant.source, f'{self._mutant.module} (mutated)', 'exec'), module.__dict__)


def outcome(mutant, show=False):
    """How the tests end with it: passed, failed, or after too much CPU time."""
    child = os.fork()
    if not child:
        os._exit(_test(mutant, show))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return 'ran for ever' if os.WTERMSIG(status) == signal.SIGXCPU else 'crashed'
    return 'failed' if os.WEXITSTATUS(status) else 'passed'


def _test(mutant, show):
    import pytest
    from hypothesis import Phase, settings

    if not show:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
    used_s = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(used_s) + LIMIT_S,) * 2)
    settings.register_profile('once', phases=[Phase.explicit, Phase.generate], database=None, deadline=None)
    settings.load_profile('once')
    sys.meta_path.insert(0, _InPlaceOf(mutant))
    own = f'test_{mutant.module.rsplit(".")[-1]}.py'
    for names in ((own,), FURTHER):
        paths = [str(ROOT / 'test' / name) for name in names]
        if code := pytest.main(
            ['-x', '-q', '-p', 'no:cacheprovider', '-p', 'no:xdist', '--rootdir', str(ROOT), *paths]
        ):
            return int(code)
    return 0


def main():
    """Run them; exit code 1 where one survives that is not known to be equivalent."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('numbers', type=int, nargs='*', help='of mutants; all without')
    parser.add_argument('--show', action='store_true', help='what the tests print')
    options = parser.parse_args()
    import captum.attr  # noqa: F401 (once, not once in each process)
    import hypothesis  # noqa: F401
    import pytest  # noqa: F401
    import torch
    from equivalent import why_equivalent

    torch.set_num_threads(1)
    found = mutants()
    wrong = 0
    for number in options.numbers or range(len(found)):
        mutant = found[number]
        ended = outcome(mutant, options.show)
        why = why_equivalent(mutant) if ended == 'passed' else ''
        wrong += ended == 'passed' and not why
        verdict = f'equivalent: {why}' if why else 'SURVIVES' if ended == 'passed' else f'killed: {ended}'
        print(f'{number} {mutant.module}:{mutant.line} [{mutant.change}] {mutant.code} | {verdict}', flush=True)
    return int(wrong > 0)


if __name__ == '__main__':
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
