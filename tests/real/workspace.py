"""Writes an offline Bazel 4.2 workspace: a C and C++ project whose results are known beforehand.

Every library computes a number out of its dependencies' numbers, and so does this module: a program that was compiled,
linked or fetched wrongly prints another number than `Workspace.expected` says.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PACKAGES: Final = 20
LIBRARIES_PER_PACKAGE: Final = 10
CPP_LIBRARIES: Final = 8
PROGRAMS: Final = 4
CC_TESTS: Final = 10
SH_TESTS: Final = 4
GENRULES: Final = 30
TREE_FILES: Final = 60
SLOW_ACTIONS: Final = 9

COMPILATIONS: Final = PACKAGES * LIBRARIES_PER_PACKAGE + 2 * CPP_LIBRARIES + PROGRAMS + CC_TESTS
TESTS: Final = CC_TESTS + SH_TESTS + CPP_LIBRARIES
COMPILE_ERROR: Final = "this source is broken on purpose"
TEST_FAILURE: Final = "this test fails on purpose"

_PUBLIC: Final = 'package(default_visibility = ["//visibility:public"])\n'
# Bazel loads these names from repositories on the network although the rules are built in: stubs stand for them.
_STUBS: Final = {
    "rules_cc/cc": "cc_library cc_binary cc_test cc_import cc_proto_library cc_toolchain cc_toolchain_suite "
    "fdo_profile objc_library objc_import",
    "rules_java/java": "java_library java_binary java_import java_test java_proto_library java_runtime "
    "java_toolchain java_package_configuration java_plugin",
    "rules_proto/proto": "proto_library proto_lang_toolchain",
}
_REPOSITORIES: Final = ("rules_cc", "rules_java", "rules_proto", "remote_coverage_tools")
_BAZELRC: Final = """\
build --incompatible_strict_action_env
build --force_pic
build --host_javabase=@local_jdk//:jdk
build --noshow_progress
build --nosandbox_debug
build --curses=no
build --color=no
test --test_output=errors
try-import %workspace%/cluster.bazelrc
"""
_TREE_RULE: Final = """\
def _tree(ctx):
    out = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run_shell(
        outputs = [out],
        arguments = [out.path, str(ctx.attr.files)],
        command = "set -e; for i in $(seq $2); do mkdir -p $1/d$((i % 7)); echo leaf $i > $1/d$((i % 7))/f$i; done",
    )
    return [DefaultInfo(files = depset([out]))]

tree = rule(implementation = _tree, attrs = {"files": attr.int()})
"""


def rule(kind: str, name: str, **attributes: object) -> str:
    """A target in a BUILD file."""
    given = "".join(f", {key} = {json.dumps(value)}" for key, value in attributes.items())
    return f'{kind}(name = "{name}"{given})\n'


@dataclass(frozen=True)
class Library:
    """One C source file: `value(x)` is `x * factor + addend` plus its dependencies' values, modulo 2^32."""

    index: int
    factor: int
    addend: int
    dependencies: tuple[int, ...]

    @property
    def source(self) -> str:
        """The .c file."""
        calls = "".join(f"  sum += value_{index}(x + {index}u);\n" for index in self.dependencies)
        return (
            f'#include "{_header(self.index)}"\n#include <stdlib.h>\n{_includes(self.dependencies)}\n'
            f"uint32_t value_{self.index}(uint32_t x) {{\n"
            f"  uint32_t sum = x * {self.factor}u + {self.addend}u;\n{calls}  return sum;\n}}\n"
        )

    @property
    def declaration(self) -> str:
        """The .h file."""
        return f"#pragma once\n#include <stdint.h>\nuint32_t value_{self.index}(uint32_t x);\n"


def _package(index: int) -> str:
    return f"src/p{index // LIBRARIES_PER_PACKAGE}"


def _header(index: int) -> str:
    return f"{_package(index)}/l{index}.h"


def _label(index: int) -> str:
    return f"//{_package(index)}:l{index}"


def _includes(indices: Sequence[int]) -> str:
    return "".join(f'#include "{_header(index)}"\n' for index in indices)


class Workspace:
    """A workspace below `root`. The same `seed` gives the same actions; another seed shares no compilation with it."""

    def __init__(self, root: Path, seed: int = 1) -> None:
        self.root = root
        self._random = random.Random(seed)
        self.libraries = [self._library(index) for index in range(PACKAGES * LIBRARIES_PER_PACKAGE)]

    def _library(self, index: int) -> Library:
        # Packages depend on earlier packages only, so that ten libraries at a time may compile.
        near = range(max(0, index - LIBRARIES_PER_PACKAGE * 4), index - index % LIBRARIES_PER_PACKAGE)
        count = min(len(near), self._random.choice((0, 1, 1, 2)))
        dependencies = tuple(sorted(self._random.sample(near, k=count)))
        return Library(index, self._random.getrandbits(31) | 1, self._random.getrandbits(32), dependencies)

    def value(self, index: int, x: int) -> int:
        """What `value_index(x)` answers."""
        library = self.libraries[index]
        inner = sum(self.value(dependency, x + dependency) for dependency in library.dependencies)
        return (x * library.factor + library.addend + inner) & 0xFFFFFFFF

    def expected(self, program: int) -> str:
        """What `//app:main{program}` prints."""
        return f"{sum(self.value(index, 7) for index in self._parts(program)) & 0xFFFFFFFF}\n"

    def _parts(self, program: int) -> Sequence[int]:
        return range(program, len(self.libraries), PROGRAMS)

    def write(self) -> None:
        """Write every file; existing ones are overwritten."""
        self.write_frame()
        self._write_libraries()
        self._write_cpp()
        self._write_programs()
        self._write_tests()
        self._write_genrules()
        self._write_slow()
        self._write_broken()

    def write_frame(self, options: str = "") -> None:
        """Write what makes it a workspace, with these lines of a bazelrc besides."""
        self._write("WORKSPACE", self._workspace())
        self._write(".bazelignore", "stubs\n")
        self._write(".bazelrc", _BAZELRC + options)
        self._write_stubs()

    def cluster(self, lines: str) -> None:
        """Replace what Bazel is told about the cluster: lines of a bazelrc."""
        self._write("cluster.bazelrc", lines)

    def _write(self, path: str, text: str, executable: bool = False) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if executable:
            file.chmod(0o755)

    def _build(self, package: str, lines: Sequence[str]) -> None:
        self._write(f"{package}/BUILD", "".join([_PUBLIC, *lines]))

    def _workspace(self) -> str:
        return 'workspace(name = "project")\n' + "".join(
            rule("local_repository", name, path=f"stubs/{name}") for name in _REPOSITORIES
        )

    def _write_stubs(self) -> None:
        for repository in _REPOSITORIES:
            self._write(f"stubs/{repository}/WORKSPACE", f'workspace(name = "{repository}")\n')
        for place, names in _STUBS.items():
            lines = [f"{name} = native.{name}" for name in names.split()]
            if place == "rules_proto/proto":
                lines.append("ProtoInfo = ProtoInfo")
            self._build(f"stubs/{place}", [])
            self._write(f"stubs/{place}/defs.bzl", "\n".join(lines) + "\n")
        tools = ("coverage_report_generator", "lcov_merger")
        self._build("stubs/remote_coverage_tools", [rule("filegroup", tool, srcs=["stub.sh"]) for tool in tools])
        self._write("stubs/remote_coverage_tools/stub.sh", "#!/bin/sh\n", executable=True)

    def _write_libraries(self) -> None:
        rules: dict[str, list[str]] = {}
        for library in self.libraries:
            name, package = f"l{library.index}", _package(library.index)
            self._write(f"{package}/{name}.h", library.declaration)
            self._write(f"{package}/{name}.c", library.source)
            depends = [_label(index) for index in library.dependencies]
            made = rule("cc_library", name, srcs=[f"{name}.c"], hdrs=[f"{name}.h"], deps=depends, linkstatic=1)
            rules.setdefault(package, []).append(made)
        for package, lines in rules.items():
            self._build(package, lines)

    def _write_cpp(self) -> None:
        lines = []
        for index in range(CPP_LIBRARIES):
            name, number = f"c{index}", self._random.getrandbits(16)
            word = "".join(sorted(str(number)))
            self._write(f"cpp/{name}.h", f"#pragma once\n#include <string>\nstd::string word_{index}();\n")
            self._write(
                f"cpp/{name}.cc",
                f'#include "cpp/{name}.h"\n#include <algorithm>\n#include <vector>\n\nstd::string word_{index}() {{\n'
                f"  std::vector<char> digits;\n  for (int n = {number}; n > 0; n /= 10)\n"
                "    digits.push_back('0' + n % 10);\n  std::sort(digits.begin(), digits.end());\n"
                "  return {digits.begin(), digits.end()};\n}\n",
            )
            self._write(
                f"cpp/{name}_test.cc",
                f'#include "cpp/{name}.h"\nint main() {{ return word_{index}() == "{word}" ? 0 : 1; }}\n',
            )
            lines.append(rule("cc_library", name, srcs=[f"{name}.cc"], hdrs=[f"{name}.h"], linkstatic=1))
            lines.append(rule("cc_test", f"{name}_test", srcs=[f"{name}_test.cc"], deps=[f":{name}"], size="small"))
        self._build("cpp", lines)

    def _write_programs(self) -> None:
        lines = []
        for program in range(PROGRAMS):
            parts = self._parts(program)
            sums = "".join(f"  sum += value_{index}(7u);\n" for index in parts)
            self._write(
                f"app/main{program}.c",
                f"#include <inttypes.h>\n#include <stdio.h>\n{_includes(parts)}\nint main(void) {{\n"
                f'  uint32_t sum = 0;\n{sums}  printf("%" PRIu32 "\\n", sum);\n  return 0;\n}}\n',
            )
            depends = [_label(index) for index in parts]
            lines.append(rule("cc_binary", f"main{program}", srcs=[f"main{program}.c"], deps=depends))
        # A program that was just built runs as a tool of another action; it does not notice a full disk.
        lines.append(
            rule("genrule", "run", outs=["run.txt"], tools=[":main0"], cmd="$(location :main0) > $@ && test -s $@")
        )
        self._build("app", lines)

    def _write_tests(self) -> None:
        lines = []
        for test in range(CC_TESTS):
            index = len(self.libraries) - 1 - test
            self._write(
                f"check/t{test}.c",
                f"{_includes([index])}int main(void) {{\n"
                f"  return value_{index}(3u) == {self.value(index, 3)}u ? 0 : 1;\n}}\n",
            )
            lines.append(rule("cc_test", f"t{test}", srcs=[f"t{test}.c"], deps=[_label(index)], size="small"))
        self._write("check/data.txt", "data\n")
        for test in range(SH_TESTS):
            script = f'#!/bin/sh\necho shell test {test}\ntest "$(cat "$1")" = data\n'
            self._write(f"check/s{test}.sh", script, executable=True)
            data = {"args": ["$(location data.txt)"], "data": ["data.txt"]}
            lines.append(rule("sh_test", f"s{test}", srcs=[f"s{test}.sh"], size="small", **data))
        self._build("check", lines)

    def _write_genrules(self) -> None:
        lines = ['load(":defs.bzl", "tree")\n', rule("tree", "tree", files=TREE_FILES)]
        for index in range(GENRULES):
            self._write(f"gen/in{index}.txt", f"{self._random.getrandbits(64):x}\n")
            earlier = sorted(self._random.sample(range(index), k=min(index, 3)))
            sources = [f"in{index}.txt", *(f":g{e}" for e in earlier)]
            outs = [f"out{index}.txt"]
            lines.append(rule("genrule", f"g{index}", srcs=sources, outs=outs, cmd="cat $(SRCS) | sha256sum > $@"))
        many = [f"many/a/b/c{i}.txt" for i in range(12)]
        noisy = "seq 2000; seq 2000 >&2; seq 200000 > $@"
        leaves = "find -L $(location :tree) -type f | xargs cat | sort > $@"
        lines += [
            rule("genrule", "many", outs=many, cmd="for f in $(OUTS); do basename $$f > $$f; done"),
            rule("genrule", "empty", outs=["empty.txt"], cmd=": > $@"),
            rule("genrule", "noisy", outs=["noisy.txt"], cmd=noisy),
            rule("genrule", "leaves", srcs=[":tree"], outs=["leaves.txt"], cmd=leaves),
        ]
        self._write("gen/defs.bzl", _TREE_RULE)
        self._build("gen", lines)

    def _write_slow(self) -> None:
        names = [f"s{index}" for index in range(SLOW_ACTIONS)]
        manual = ["manual"]
        lines = [
            rule("genrule", name, outs=[f"{name}.txt"], cmd=f"sleep 3; echo {name} > $@", tags=manual) for name in names
        ]
        sources = [f":{name}" for name in names]
        lines.append(rule("genrule", "all", srcs=sources, outs=["all.txt"], cmd="cat $(SRCS) > $@", tags=manual))
        self._build("slow", lines)

    def _write_broken(self) -> None:
        self._write("broken/source.c", f'#error "{COMPILE_ERROR}"\n')
        fails = f'#include <stdio.h>\nint main(void) {{\n  fputs("{TEST_FAILURE}\\n", stderr);\n  return 9;\n}}\n'
        self._write("broken/fails.c", fails)
        manual = ["manual"]
        exits = "echo seven reasons >&2; exit 7"
        self._build(
            "broken",
            [
                rule("cc_library", "source", srcs=["source.c"], tags=manual),
                rule("cc_test", "fails", srcs=["fails.c"], size="small", tags=manual),
                rule("genrule", "exits_7", outs=["never.txt"], cmd=exits, tags=manual),
            ],
        )
