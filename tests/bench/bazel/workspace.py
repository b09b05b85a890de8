"""Writes a large offline Bazel 4.2 workspace with a bit of everything: 2,480 targets, which make about 3,250 actions.

Two thousand small actions that depend on each other, C++ compilations and links, tests of programs and of scripts,
Python programs as tools, a file of 64 MiB, a directory of 500 files, and odd outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.real.workspace import Workspace, rule

_PYTHON: Final = """\
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")
py_runtime(
    name = "runtime",
    interpreter_path = "/usr/bin/python3",
    python_version = "PY3",
    stub_shebang = "#!/usr/bin/env python3",
)
py_runtime_pair(name = "pair", py3_runtime = ":runtime")
toolchain(name = "toolchain", toolchain = ":pair", toolchain_type = "@bazel_tools//tools/python:toolchain_type")
"""
_TREE: Final = """\
def _tree(ctx):
    made = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run_shell(
        outputs = [made],
        arguments = [made.path, str(ctx.attr.files)],
        command = \"\"\"
            for i in $(seq $2); do
                into=$1/d$((i % 16))/e$((i % 7))
                mkdir -p $into && echo $i > $into/f$i
            done
            mkdir $1/empty && : > $1/zero && printf '#!/bin/sh\\n' > $1/run && chmod +x $1/run
        \"\"\",
    )
    return [DefaultInfo(files = depset([made]))]

tree = rule(implementation = _tree, attrs = {"files": attr.int()})
"""
_NEAR: Final = 200
_SOURCE_BYTES: Final = 4096


@dataclass(frozen=True)
class Scale:
    """How much of each kind; `by` shrinks it for a quick look."""

    genrules: int = 2000
    libraries: int = 300
    scripts: int = 100
    programs: int = 20
    large_mib: int = 64
    tree_files: int = 500

    @staticmethod
    def by(factor: float) -> Scale:
        """The same mix, smaller."""
        whole = Scale()
        return Scale(**{name: max(1, round(count * factor)) for name, count in vars(whole).items()})


class LargeWorkspace(Workspace):
    """A workspace of this scale; the same seed writes the same files."""

    def __init__(self, root: Path, scale: Scale, seed: int = 1) -> None:
        super().__init__(root, seed)
        self._scale = scale
        self.targets = 0

    def write(self) -> None:
        """Write every file."""
        self.write_frame("build --extra_toolchains=//python:toolchain\n")
        self._write("python/BUILD", _PYTHON)
        self._write_genrules()
        self._write_cpp()
        self._write_scripts()
        self._write_tools()
        self._write_odd()

    def _rules(self, package: str, rules: list[str], head: str = "") -> None:
        self.targets += len(rules)
        self._build(package, [head, *rules])

    def _text(self) -> str:
        size = self._random.randint(64, _SOURCE_BYTES)
        return "".join(self._random.choices("abcdefgh\n", k=size))

    def _earlier(self, index: int, near: int, most: int) -> list[int]:
        pool = range(max(0, index - near), index)
        return sorted(self._random.sample(pool, k=min(len(pool), self._random.randint(0, most))))

    def _write_genrules(self) -> None:
        rules = []
        for index in range(self._scale.genrules):
            source = f"in{index}.txt"
            self._write(f"gen/{source}", self._text())
            sources = [source, *(f":g{earlier}" for earlier in self._earlier(index, _NEAR, 5))]
            size = self._random.randint(1, _SOURCE_BYTES)
            command = f"cat $(SRCS) | sha256sum > $@; head -c {size} $(location {source}) >> $@"
            rules.append(rule("genrule", f"g{index}", srcs=sources, outs=[f"out{index}.txt"], cmd=command))
        self._rules("gen", rules)

    def _write_cpp(self) -> None:
        rules = []
        for index in range(self._scale.libraries):
            depends = self._earlier(index, index, 4)
            includes = "".join(f'#include "cpp/l{other}.h"\n' for other in [index, *depends])
            calls = "".join(f"  sum += f{other}(x - 1);\n" for other in depends)
            self._write(f"cpp/l{index}.h", f"#pragma once\nint f{index}(int x);\n")
            self._write(
                f"cpp/l{index}.cc",
                f"{includes}#include <algorithm>\n#include <string>\n#include <vector>\n\nint f{index}(int x) {{\n"
                f"  if (x <= 0) return {index};\n  std::vector<int> values(x);\n"
                f"  std::sort(values.begin(), values.end());\n  int sum = values.size();\n{calls}  return sum;\n}}\n",
            )
            labels = [f":l{other}" for other in depends]
            rules.append(rule("cc_library", f"l{index}", srcs=[f"l{index}.cc"], hdrs=[f"l{index}.h"], deps=labels))
            if index % 10 == 9:
                self._write(
                    f"cpp/t{index}.cc", f'#include "cpp/l{index}.h"\nint main() {{ return f{index}(1) < 0; }}\n'
                )
                rules.append(rule("cc_test", f"t{index}", srcs=[f"t{index}.cc"], deps=[f":l{index}"], size="small"))
        self._rules("cpp", rules)

    def _write_scripts(self) -> None:
        rules = []
        self._write("scripts/data.txt", "data\n")
        for index in range(self._scale.scripts):
            script = f"#!/bin/sh\necho test {index}\necho to stderr >&2\ntest -f $1\n"
            self._write(f"scripts/t{index}.sh", script, executable=True)
            data = {"args": ["$(location data.txt)"], "data": ["data.txt"]}
            rules.append(rule("sh_test", f"t{index}", srcs=[f"t{index}.sh"], size="small", **data))
        self._rules("scripts", rules)

    def _write_tools(self) -> None:
        rules = []
        for index in range(self._scale.programs):
            self._write(f"tools/p{index}.py", f'import sys\nprint("program {index}", sys.version_info[0])\n')
            rules.append(rule("py_binary", f"p{index}", srcs=[f"p{index}.py"]))
            run = f"$(location :p{index}) > $@"
            rules.append(rule("genrule", f"run{index}", outs=[f"p{index}.out"], tools=[f":p{index}"], cmd=run))
        self._rules("tools", rules)

    def _write_odd(self) -> None:
        self._write("odd/defs.bzl", _TREE)
        many = [f"a/b/c{index}.txt" for index in range(40)]
        noise = f"head -c {self._scale.large_mib << 20} /dev/zero | openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 > $@"
        manual = ["manual"]
        rules = [
            rule("genrule", "empty", outs=["empty.txt"], cmd=": > $@"),
            rule("genrule", "program", outs=["run.sh"], cmd="printf '#!/bin/sh\\n' > $@; chmod +x $@", executable=1),
            rule("genrule", "many", outs=many, cmd="for f in $(OUTS); do echo $$f > $$f; done"),
            rule("genrule", "noisy", outs=["noisy.txt"], cmd="seq 100000; seq 100000 >&2; echo ok > $@"),
            rule("genrule", "fails", outs=["never.txt"], cmd="echo boom >&2; exit 3", tags=manual),
            rule("genrule", "slow", outs=["slow.txt"], cmd="sleep 20; echo > $@", tags=manual),
            rule("genrule", "large", outs=["large.bin"], cmd=f"{noise} 2>/dev/null"),
            rule("genrule", "sum", srcs=[":large"], outs=["large.sum"], cmd="sha256sum < $< > $@"),
            rule("tree", "tree", files=self._scale.tree_files),
            rule("genrule", "list", srcs=[":tree"], outs=["tree.txt"], cmd="find -L $< -type f | sort > $@"),
        ]
        self._rules("odd", rules, 'load(":defs.bzl", "tree")\n')
