"""Writes an offline Bazel 4.2 workspace: a C and C++ project whose results are known beforehand.

Every library computes a number out of its dependencies' numbers, and so does this module: a binary that was compiled,
linked or fetched wrongly prints another number than `Workspace.expected` says.

Bazel reaches for a few rule repositories on the network although their rules are built in; stubs of them stand in
`stubs/` (a folder each with the names that Bazel loads).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

PACKAGES: Final = 20
LIBRARIES_PER_PACKAGE: Final = 10
CPP_LIBRARIES: Final = 8
BINARIES: Final = 4
CC_TESTS: Final = 10
SH_TESTS: Final = 4
GENRULES: Final = 30
TREE_FILES: Final = 60

COMPILE_ERROR: Final = "this source is broken on purpose"
TEST_FAILURE: Final = "this test fails on purpose"

_PUBLIC: Final = 'package(default_visibility = ["//visibility:public"])\n'
_STUBS: Final = {
    "rules_cc/cc": "cc_library cc_binary cc_test cc_import cc_proto_library cc_toolchain cc_toolchain_suite "
    "fdo_profile objc_library objc_import",
    "rules_java/java": "java_library java_binary java_import java_test java_proto_library java_runtime "
    "java_toolchain java_package_configuration java_plugin",
    "rules_proto/proto": "proto_library proto_lang_toolchain",
}
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
        arguments = [out.path],
        command = "for i in $(seq %d); do mkdir -p $1/d$((i %% 7)); echo leaf $i > $1/d$((i %% 7))/f$i; done" % ctx.attr.files,
    )
    return [DefaultInfo(files = depset([out]))]

tree = rule(implementation = _tree, attrs = {"files": attr.int()})
"""


@dataclass(frozen=True)
class Library:
    """One source file: `value(x)` is `x * factor + addend`, plus its dependencies' values, modulo 2^32."""

    index: int
    factor: int
    addend: int
    dependencies: tuple[int, ...]

    @property
    def package(self) -> str:
        return f"src/p{self.index // LIBRARIES_PER_PACKAGE}"

    @property
    def label(self) -> str:
        return f"//{self.package}:l{self.index}"

    @property
    def header(self) -> str:
        return f"{self.package}/l{self.index}.h"

    @property
    def source(self) -> str:
        includes = "".join(f'#include "{_library_header(index)}"\n' for index in self.dependencies)
        calls = "".join(f"  sum += value_{index}(x + {index}u);\n" for index in self.dependencies)
        return (
            f'#include "{self.header}"\n#include <stdint.h>\n#include <stdlib.h>\n#include <string.h>\n{includes}\n'
            f"uint32_t value_{self.index}(uint32_t x) {{\n"
            f"  uint32_t sum = x * {self.factor}u + {self.addend}u;\n{calls}  return sum;\n}}\n"
        )

    @property
    def declaration(self) -> str:
        return f"#pragma once\n#include <stdint.h>\nuint32_t value_{self.index}(uint32_t x);\n"

    @property
    def rule(self) -> str:
        depends = ", ".join(f'"//src/p{index // LIBRARIES_PER_PACKAGE}:l{index}"' for index in self.dependencies)
        name = f"l{self.index}"
        return f'cc_library(name = "{name}", srcs = ["{name}.c"], hdrs = ["{name}.h"], deps = [{depends}], linkstatic = 1)\n'


def _library_header(index: int) -> str:
    return f"src/p{index // LIBRARIES_PER_PACKAGE}/l{index}.h"


class Workspace:
    """A workspace below `root`; the same `seed` gives the same actions, another one shares none of the compilations."""

    def __init__(self, root: Path, seed: int = 1) -> None:
        self.root = root
        self._random = random.Random(seed)
        self.libraries = [self._library(index) for index in range(PACKAGES * LIBRARIES_PER_PACKAGE)]

    def _library(self, index: int) -> Library:
        # Only near predecessors: the calls of a deep graph grow exponentially, and a wide one compiles in parallel.
        near = range(max(0, index - LIBRARIES_PER_PACKAGE * 4), index - index % LIBRARIES_PER_PACKAGE)
        dependencies = self._random.sample(near, k=min(len(near), self._random.choice((0, 1, 1, 2))))
        return Library(
            index, self._random.getrandbits(31) | 1, self._random.getrandbits(32), tuple(sorted(dependencies))
        )

    @cached_property
    def roots(self) -> Sequence[Sequence[int]]:
        """The libraries that each binary adds up."""
        last = len(self.libraries)
        return [[*range(first, last, BINARIES)] for first in range(BINARIES)]

    def value(self, index: int, x: int) -> int:
        """What `value_index(x)` answers."""
        library = self.libraries[index]
        inner = sum(self.value(dependency, x + dependency) for dependency in library.dependencies)
        return (x * library.factor + library.addend + inner) & 0xFFFFFFFF

    def expected(self, binary: int) -> str:
        """What `//app:main{binary}` prints."""
        return f"{sum(self.value(index, 7) for index in self.roots[binary]) & 0xFFFFFFFF}\n"

    def write(self) -> None:
        """Write every file; existing ones are overwritten."""
        self._write("WORKSPACE", self._workspace())
        self._write(".bazelignore", "stubs\n")
        self._write(".bazelrc", _BAZELRC)
        self._write_stubs()
        self._write_libraries()
        self._write_cpp()
        self._write_apps()
        self._write_tests()
        self._write_genrules()
        self._write_broken()

    def cluster(self, lines: str) -> None:
        """Replace what Bazel is told about the cluster: lines of a bazelrc."""
        self._write("cluster.bazelrc", lines)

    def _write(self, path: str, text: str, executable: bool = False) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if executable:
            file.chmod(0o755)

    def _workspace(self) -> str:
        names = ["rules_cc", "rules_java", "rules_proto", "remote_coverage_tools"]
        return f'workspace(name = "project")\n[local_repository(name = r, path = "stubs/" + r) for r in {names}]\n'

    def _write_stubs(self) -> None:
        for place, names in _STUBS.items():
            repository = place.split("/")[0]
            self._write(f"stubs/{repository}/WORKSPACE", f'workspace(name = "{repository}")\n')
            self._write(f"stubs/{place}/BUILD", _PUBLIC)
            lines = [f"{name} = native.{name}" for name in names.split()]
            if repository == "rules_proto":
                lines.append("ProtoInfo = ProtoInfo")
            self._write(f"stubs/{place}/defs.bzl", "\n".join(lines) + "\n")
        coverage = "stubs/remote_coverage_tools"
        self._write(f"{coverage}/WORKSPACE", 'workspace(name = "remote_coverage_tools")\n')
        tools = "".join(
            f'filegroup(name = "{n}", srcs = ["stub.sh"])\n' for n in ("coverage_report_generator", "lcov_merger")
        )
        self._write(f"{coverage}/BUILD", _PUBLIC + tools)
        self._write(f"{coverage}/stub.sh", "#!/bin/sh\n", executable=True)

    def _write_libraries(self) -> None:
        rules: dict[str, list[str]] = {}
        for library in self.libraries:
            self._write(library.header, library.declaration)
            self._write(library.header[:-1] + "c", library.source)
            rules.setdefault(library.package, [_PUBLIC]).append(library.rule)
        for package, lines in rules.items():
            self._write(f"{package}/BUILD", "".join(lines))

    def _write_cpp(self) -> None:
        lines = [_PUBLIC]
        for index in range(CPP_LIBRARIES):
            salt = self._random.getrandbits(16)
            self._write(f"cpp/c{index}.h", f"#pragma once\n#include <string>\nstd::string word_{index}();\n")
            self._write(
                f"cpp/c{index}.cc",
                f'#include "cpp/c{index}.h"\n#include <algorithm>\n#include <vector>\n\nstd::string word_{index}() {{\n'
                f"  std::vector<int> digits;\n  for (int n = {salt}; n > 0; n /= 10) digits.push_back(n % 10);\n"
                "  std::sort(digits.begin(), digits.end());\n  std::string word;\n"
                "  for (int digit : digits) word += static_cast<char>('0' + digit);\n  return word;\n}\n",
            )
            self._write(
                f"cpp/c{index}_test.cc",
                f'#include "cpp/c{index}.h"\nint main() {{ return word_{index}() == "{"".join(sorted(str(salt)))}" ? 0 : 1; }}\n',
            )
            lines.append(
                f'cc_library(name = "c{index}", srcs = ["c{index}.cc"], hdrs = ["c{index}.h"], linkstatic = 1)\n'
            )
            lines.append(
                f'cc_test(name = "c{index}_test", srcs = ["c{index}_test.cc"], deps = [":c{index}"], size = "small")\n'
            )
        self._write("cpp/BUILD", "".join(lines))

    def _write_apps(self) -> None:
        lines = [_PUBLIC]
        for binary, indices in enumerate(self.roots):
            includes = "".join(f'#include "{_library_header(index)}"\n' for index in indices)
            sums = "".join(f"  sum += value_{index}(7u);\n" for index in indices)
            self._write(
                f"app/main{binary}.c",
                f"#include <inttypes.h>\n#include <stdio.h>\n{includes}\nint main(void) {{\n  uint32_t sum = 0;\n{sums}"
                '  printf("%" PRIu32 "\\n", sum);\n  return 0;\n}\n',
            )
            depends = ", ".join(f'"{self.libraries[index].label}"' for index in indices)
            lines.append(f'cc_binary(name = "main{binary}", srcs = ["main{binary}.c"], deps = [{depends}])\n')
        # A program that was just built runs as a tool of another action.
        lines.append('genrule(name = "run", outs = ["run.txt"], tools = [":main0"], cmd = "$(location :main0) > $@")\n')
        self._write("app/BUILD", "".join(lines))

    def _write_tests(self) -> None:
        lines = [_PUBLIC]
        for test in range(CC_TESTS):
            index = len(self.libraries) - 1 - test
            self._write(
                f"check/t{test}.c",
                f'#include "{_library_header(index)}"\nint main(void) {{ return value_{index}(3u) == {self.value(index, 3)}u ? 0 : 1; }}\n',
            )
            label = self.libraries[index].label
            lines.append(f'cc_test(name = "t{test}", srcs = ["t{test}.c"], deps = ["{label}"], size = "small")\n')
        self._write("check/data.txt", "data\n")
        for test in range(SH_TESTS):
            self._write(
                f"check/s{test}.sh", f'#!/bin/sh\necho shell test {test}\ntest "$(cat "$1")" = data\n', executable=True
            )
            lines.append(
                f'sh_test(name = "s{test}", srcs = ["s{test}.sh"], args = ["$(location data.txt)"], '
                'data = ["data.txt"], size = "small")\n'
            )
        self._write("check/BUILD", "".join(lines))

    def _write_genrules(self) -> None:
        lines = [_PUBLIC, 'load(":defs.bzl", "tree")\n']
        for index in range(GENRULES):
            self._write(f"gen/in{index}.txt", f"{self._random.getrandbits(64):x}\n")
            earlier = self._random.sample(range(index), k=min(index, 3))
            sources = ", ".join([f'"in{index}.txt"', *(f'":g{e}"' for e in sorted(earlier))])
            lines.append(
                f'genrule(name = "g{index}", srcs = [{sources}], outs = ["out{index}.txt"], cmd = "cat $(SRCS) | sha256sum > $@")\n'
            )
        outs = ", ".join(f'"many/a/b/c{i}.txt"' for i in range(12))
        lines.append(
            f'genrule(name = "many", outs = [{outs}], cmd = "for f in $(OUTS); do basename $$f > $$f; done")\n'
        )
        lines.append('genrule(name = "empty", outs = ["empty.txt"], cmd = ": > $@")\n')
        lines.append('genrule(name = "noisy", outs = ["noisy.txt"], cmd = "seq 9000; seq 9000 >&2; seq 200000 > $@")\n')
        lines.append(f'tree(name = "tree", files = {TREE_FILES})\n')
        lines.append(
            'genrule(name = "leaves", srcs = [":tree"], outs = ["leaves.txt"], '
            'cmd = "find -L $(location :tree) -type f | xargs cat | sort > $@")\n'
        )
        self._write("gen/defs.bzl", _TREE_RULE)
        self._write("gen/BUILD", "".join(lines))

    def _write_broken(self) -> None:
        self._write("broken/source.c", f'#error "{COMPILE_ERROR}"\n')
        self._write(
            "broken/fails.c",
            f'#include <stdio.h>\nint main(void) {{ fputs("{TEST_FAILURE}\\n", stderr); return 9; }}\n',
        )
        self._write(
            "broken/BUILD",
            'cc_library(name = "source", srcs = ["source.c"], tags = ["manual"])\n'
            'cc_test(name = "fails", srcs = ["fails.c"], size = "small", tags = ["manual"])\n'
            'genrule(name = "exits_7", outs = ["never.txt"], cmd = "echo seven reasons >&2; exit 7", tags = ["manual"])\n',
        )
