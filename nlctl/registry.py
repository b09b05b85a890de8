"""Every command, described without importing it: what --help, typo suggestions and the placing of flags need.

A test holds each entry to the module it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Level(StrEnum):
    """What a command needs of the server that it is pointed at; where that is missing, it exits 10."""

    NONE = "-"
    """Nothing: it asks no server."""
    STANDARD = "A"
    """The Remote Execution API and ByteStream: any server."""
    LOCAL = "B"
    """Processes, files and logs of a cluster that nlctl started."""
    HTTP = "C"
    """NativeLink's HTTP routes."""
    ADMIN = "D"
    """The admin API (nlserver/proto/admin.proto)."""


@dataclass(frozen=True)
class Leaf:
    """A command: its module in `nlctl.commands`, a line for lists, and how its arguments are cut.

    `valued` are its own options that take a value; `owned` are global names that mean something else after this
    command's word; `wraps` tells that the first plain argument begins a foreign command line.
    """

    module: str
    summary: str
    group: str
    valued: frozenset[str] = frozenset()
    owned: frozenset[str] = frozenset()
    wraps: bool = False
    level: Level = Level.NONE


RUN: Final = "Run a cluster"
LOOK: Final = "Look at things"
USE: Final = "Use it"
SETUP: Final = "Configure and connect"
LEARN: Final = "Learn"

COMMANDS: Final[dict[tuple[str, ...], Leaf]] = {
    ("up",): Leaf(
        "up",
        "Start a cluster, or bring it to the asked shape",
        RUN,
        frozenset(
            {
                "--workers",
                "--name",
                "--profile",
                "--backend",
                "--image",
                "--cpus",
                "--memory",
                "--publish",
                "--config",
                "--cas-size",
                "--cas-processes",
                "--base-port",
                "--wait-timeout",
            }
        ),
        level=Level.LOCAL,
    ),
    ("down",): Leaf(
        "down", "Stop a cluster; --wipe removes its data", RUN, frozenset({"--name", "--grace"}), level=Level.LOCAL
    ),
    ("scale",): Leaf(
        "scale",
        "More workers, or fewer without losing their work",
        RUN,
        frozenset({"--deadline", "--wait-timeout", "--name"}),
        level=Level.LOCAL,
    ),
    ("restart",): Leaf(
        "restart",
        "Start parts anew, on demand one after the other",
        RUN,
        frozenset({"--deadline", "--wait-timeout", "--name"}),
        level=Level.LOCAL,
    ),
    ("wait",): Leaf("wait", "Return once something holds", RUN, frozenset({"--for", "--name"}), level=Level.STANDARD),
    ("status",): Leaf(
        "status", "Is it healthy, and what needs attention", LOOK, frozenset({"--name"}), level=Level.LOCAL
    ),
    ("ps",): Leaf("ps", "The processes of a cluster", LOOK, frozenset({"--name"}), level=Level.LOCAL),
    ("logs",): Leaf(
        "logs",
        "What the parts say",
        LOOK,
        frozenset(
            {"--name", "--tail", "--since", "--until", "--level", "--grep", "--op", "--action", "--invocation"},
        ),
        level=Level.LOCAL,
    ),
    ("workers", "ls"): Leaf(
        "workers_ls", "The workers that the scheduler sees", LOOK, frozenset({"--name"}), level=Level.ADMIN
    ),
    ("workers", "show"): Leaf(
        "workers_show", "Everything about one worker", LOOK, frozenset({"--name"}), level=Level.ADMIN
    ),
    ("workers", "drain"): Leaf(
        "workers_drain",
        "Let workers finish, give them nothing new",
        LOOK,
        frozenset({"--deadline", "--name"}),
        level=Level.HTTP,
    ),
    ("workers", "cordon"): Leaf(
        "workers_cordon", "Give workers no new work", LOOK, frozenset({"--name"}), level=Level.HTTP
    ),
    ("workers", "uncordon"): Leaf(
        "workers_uncordon", "Give workers work again", LOOK, frozenset({"--name"}), level=Level.HTTP
    ),
    ("workers", "add"): Leaf(
        "workers_add",
        "More workers, with properties of their own on demand",
        LOOK,
        frozenset({"--property", "--wait-timeout", "--name"}),
        level=Level.LOCAL,
    ),
    ("workers", "kill"): Leaf(
        "workers_kill", "End workers at once", LOOK, frozenset({"--signal", "--name"}), level=Level.LOCAL
    ),
    ("workers", "match"): Leaf(
        "workers_match", "Which workers fit these properties", LOOK, frozenset({"--name"}), level=Level.ADMIN
    ),
    ("ops", "ls"): Leaf(
        "ops_ls",
        "What waits, runs, and ended lately",
        LOOK,
        frozenset({"--state", "--invocation", "--limit", "--name"}),
        level=Level.ADMIN,
    ),
    ("ops", "show"): Leaf("ops_show", "Everything about one operation", LOOK, frozenset({"--name"}), level=Level.ADMIN),
    ("ops", "watch"): Leaf(
        "ops_watch", "Each change of operations as it comes", LOOK, frozenset({"--name"}), level=Level.ADMIN
    ),
    ("ops", "cancel"): Leaf(
        "ops_cancel",
        "End operations for all their clients",
        LOOK,
        frozenset({"--invocation", "--older-than", "--name"}),
        level=Level.ADMIN,
    ),
    ("queue", "ls"): Leaf(
        "queue_ls", "What waits, by the properties asked", LOOK, frozenset({"--name"}), level=Level.ADMIN
    ),
    ("queue", "show"): Leaf(
        "queue_show", "One queue in full, worker by worker", LOOK, frozenset({"--name"}), level=Level.ADMIN
    ),
    ("queue", "explain"): Leaf(
        "queue_explain",
        "Why an operation does not run, worker by worker",
        LOOK,
        frozenset({"--name"}),
        level=Level.ADMIN,
    ),
    ("events",): Leaf(
        "events",
        "What happened in the parts, and what happens",
        LOOK,
        frozenset({"--level", "--kind", "--name"}),
        level=Level.ADMIN,
    ),
    ("run",): Leaf(
        "run",
        "Run a command on a worker",
        USE,
        frozenset({"--input", "--output", "--fetch", "--env", "--platform", "--action-timeout", "--out-dir", "--on"}),
        owned=frozenset({"--output"}),
        wraps=True,
        level=Level.STANDARD,
    ),
    ("action", "show"): Leaf("action_show", "An action with its command and result", USE, level=Level.STANDARD),
    ("action", "inputs"): Leaf("action_inputs", "What an action is given, by path", USE, level=Level.STANDARD),
    ("action", "diff"): Leaf("action_diff", "Why two actions do not share a cache entry", USE, level=Level.STANDARD),
    ("action", "replay"): Leaf(
        "action_replay", "Run an action again", USE, frozenset({"--times", "--on"}), level=Level.STANDARD
    ),
    ("action", "determinism"): Leaf(
        "action_determinism",
        "Does an action leave the same each time",
        USE,
        frozenset({"--times", "--on"}),
        level=Level.STANDARD,
    ),
    ("action", "local"): Leaf("action_local", "Run an action's command here", USE, level=Level.STANDARD),
    ("cas", "get"): Leaf(
        "cas_get",
        "Fetch a blob, verified, and decode it",
        USE,
        frozenset({"-O", "--out", "--as", "--range", "--from"}),
        level=Level.STANDARD,
    ),
    ("cas", "put"): Leaf("cas_put", "Upload files and directories", USE, level=Level.STANDARD),
    ("cas", "stat"): Leaf("cas_stat", "Which blobs are there, and in which tiers", USE, level=Level.STANDARD),
    ("cas", "missing"): Leaf("cas_missing", "Those of many digests that the CAS lacks", USE, level=Level.STANDARD),
    ("cas", "tree"): Leaf(
        "cas_tree",
        "Draw a directory, and find what is missing",
        USE,
        frozenset({"--depth"}),
        level=Level.STANDARD,
    ),
    ("cas", "why"): Leaf("cas_why", "Where a blob is, layer by layer", USE, frozenset({"--name"}), level=Level.ADMIN),
    ("cas", "ls"): Leaf(
        "cas_ls", "What a store holds", USE, frozenset({"--store", "--limit", "--name"}), level=Level.ADMIN
    ),
    ("cas", "du"): Leaf("cas_du", "How much the stores hold", USE, frozenset({"--name"}), level=Level.ADMIN),
    ("cas", "checkout"): Leaf("cas_checkout", "Write a directory of the CAS to disk", USE, level=Level.STANDARD),
    ("cas", "diff"): Leaf("cas_diff", "Compare two directories, messages or files", USE, level=Level.STANDARD),
    ("cas", "cp"): Leaf(
        "cas_cp",
        "Copy objects, with what they lead to, to another CAS",
        USE,
        frozenset({"--to", "--to-instance"}),
        level=Level.STANDARD,
    ),
    ("cas", "verify"): Leaf(
        "cas_verify",
        "Hash what is stored, all or a sample of it",
        USE,
        frozenset({"--closure", "--sample"}),
        level=Level.STANDARD,
    ),
    ("cas", "heal"): Leaf("cas_heal", "Bring back what the CAS lost", USE, frozenset({"--from"}), level=Level.STANDARD),
    ("cas", "rm"): Leaf("cas_rm", "Let stores forget blobs", USE, frozenset({"--store"}), level=Level.ADMIN),
    ("ac", "put"): Leaf(
        "ac_put",
        "Put a result into the action cache",
        USE,
        frozenset({"--result", "--exit-code", "--file", "--tree", "--stdout", "--stderr"}),
        level=Level.STANDARD,
    ),
    ("ac", "rm"): Leaf(
        "ac_rm", "Forget results, so that actions run again", USE, frozenset({"--store"}), level=Level.ADMIN
    ),
    ("ac", "ls"): Leaf(
        "ac_ls", "The actions that have a result", USE, frozenset({"--store", "--limit", "--name"}), level=Level.ADMIN
    ),
    ("ac", "diff"): Leaf("ac_diff", "Where the results of two actions differ", USE, level=Level.STANDARD),
    ("ac", "get"): Leaf(
        "ac_get", "The result of an action", USE, frozenset({"-O", "--out", "--from"}), level=Level.STANDARD
    ),
    ("ac", "check"): Leaf("ac_check", "Whether all that a result names is there", USE, level=Level.STANDARD),
    ("doctor",): Leaf(
        "doctor",
        "What is wrong, the evidence, and the fix",
        LOOK,
        frozenset({"--check", "--skip", "--every", "--report", "--waits", "--runs", "--name"}),
        level=Level.STANDARD,
    ),
    ("doctor", "action"): Leaf(
        "doctor_action",
        "Why an action waits, was slow, or failed",
        LOOK,
        frozenset({"--name"}),
        level=Level.STANDARD,
    ),
    ("doctor", "bazel"): Leaf(
        "doctor_bazel", "What went wrong in a build, and what was slow", LOOK, frozenset({"--name"})
    ),
    ("doctor", "config"): Leaf(
        "doctor_config", "What is wrong with configs, for CI", LOOK, frozenset({"--format", "--for", "--set", "--name"})
    ),
    ("doctor", "net"): Leaf(
        "doctor_net",
        "The way to every endpoint, gone again and again",
        LOOK,
        frozenset({"--every", "--count", "--name"}),
        level=Level.STANDARD,
    ),
    ("doctor", "object"): Leaf(
        "doctor_object", "Why a blob is not found", LOOK, frozenset({"--name"}), level=Level.STANDARD
    ),
    ("doctor", "undo"): Leaf("doctor_undo", "Take back what a fix changed", LOOK),
    ("lab", "start"): Leaf(
        "lab_start",
        "A practice cluster to break on purpose",
        LEARN,
        frozenset({"--workers", "--backend", "--image", "--wait-timeout", "--name"}),
        level=Level.LOCAL,
    ),
    ("lab", "ls"): Leaf("lab_ls", "The faults, and what the doctor says of each", LEARN),
    ("lab", "break"): Leaf("lab_break", "Put a fault into the lab", LEARN, frozenset({"--name"}), level=Level.LOCAL),
    ("lab", "restore"): Leaf(
        "lab_restore", "Take the fault out again", LEARN, frozenset({"--name"}), level=Level.LOCAL
    ),
    ("lab", "tour"): Leaf(
        "lab_tour", "Fault after fault: break, look, restore", LEARN, frozenset({"--name"}), level=Level.LOCAL
    ),
    ("lab", "stop"): Leaf("lab_stop", "Stop the lab and remove it", LEARN, frozenset({"--name"}), level=Level.LOCAL),
    ("bench",): Leaf(
        "bench",
        "Measure a server, next to bare gRPC on this machine",
        LOOK,
        frozenset(
            {
                "--target",
                "--line",
                "--size",
                "--duration",
                "--count",
                "-j",
                "--jobs",
                "--rounds",
                "--loaders",
                "--rate",
                "--compressible",
                "--blobs",
                "--save",
                "--compare",
                "--max-regress",
                "--plot",
            }
        ),
        level=Level.STANDARD,
    ),
    ("config", "validate"): Leaf(
        "config_validate", "Judge configs like a compiler", SETUP, frozenset({"--for", "--set", "--name"})
    ),
    ("config", "new"): Leaf(
        "config_new",
        "Write configs to begin with",
        SETUP,
        frozenset({"--out", "--workers", "--slow", "--data", "--base-port"}),
    ),
    ("config", "show"): Leaf("config_show", "Settings, and where each comes from", SETUP, frozenset({"--name"})),
    ("config", "diff"): Leaf("config_diff", "What two configs mean differently", SETUP, frozenset({"--name"})),
    ("config", "explain"): Leaf("config_explain", "What a config path means", SETUP),
    ("config", "schema"): Leaf("config_schema", "The JSON Schema of configs, for editors", SETUP),
    ("config", "migrate"): Leaf("config_migrate", "Configs of older releases in today's shape", SETUP),
    ("config", "render"): Leaf(
        "config_render",
        "Files for compose, Swarm, systemd and Kubernetes",
        SETUP,
        frozenset({"--to", "--out", "--workers", "--cas-size", "--cpus", "--memory", "--image", "--name"}),
    ),
    ("config", "edit"): Leaf(
        "config_edit", "A config in your editor, judged before it counts", SETUP, frozenset({"--name"})
    ),
    ("config", "undo"): Leaf("config_undo", "Take back what nlctl wrote into files", SETUP),
    ("image", "build"): Leaf(
        "image_build", "Build the image that holds every part", SETUP, frozenset({"--base", "--tag", "--wheels"})
    ),
    ("connect",): Leaf(
        "connect", "What a build client needs to use this cluster", SETUP, frozenset({"--name"}), level=Level.STANDARD
    ),
    ("bazelrc",): Leaf(
        "bazelrc", "The .bazelrc lines for this cluster", SETUP, frozenset({"--config", "--name"}), level=Level.STANDARD
    ),
    ("context", "ls"): Leaf("context_ls", "The clusters here and elsewhere", USE),
    ("context", "show"): Leaf("context_show", "Where a context leads, and whether it answers", USE),
    ("context", "use"): Leaf("context_use", "Make a context the current one", USE),
    ("context", "add"): Leaf(
        "context_add",
        "Give a server elsewhere a name",
        USE,
        frozenset(
            {
                "--executor",
                "--admin",
                "--admin-http",
                "--compose",
                "--scheduler",
                "--tls-ca",
                "--tls-cert",
                "--tls-key",
                "--token-file",
            }
        ),
    ),
    ("context", "rm"): Leaf("context_rm", "Forget a context", USE),
    ("context", "rename"): Leaf("context_rename", "Give a context another name", USE),
    ("context", "export"): Leaf("context_export", "A context as text", USE),
    ("context", "import"): Leaf("context_import", "Take over an exported context", USE, frozenset({"--name"})),
    ("top",): Leaf(
        "top",
        "A cluster at work, live",
        LOOK,
        frozenset({"--interval", "--name"}),
        level=Level.ADMIN,
    ),
    ("metrics",): Leaf(
        "metrics",
        "Every counter and gauge, for people and for Prometheus",
        LOOK,
        frozenset({"--interval", "--for", "--name"}),
        level=Level.ADMIN,
    ),
    ("support", "bundle"): Leaf(
        "support_bundle",
        "Gather what helps to find a fault",
        LEARN,
        frozenset({"-O", "--out", "--since", "--max-size", "--name"}),
        level=Level.LOCAL,
    ),
    ("support", "show"): Leaf("support_show", "What a bundle holds", LEARN),
    ("version",): Leaf("version", "Versions of this tool and of the parts", LOOK),
    ("explain",): Leaf("explain", "What an error code means, and what to do", LEARN),
    ("help",): Leaf("help", "Topics, commands and schemas", LEARN),
    ("man",): Leaf("man", "Manual pages, shown or written", LEARN, frozenset({"--install"})),
    ("completion",): Leaf("completion", "Completion for bash, zsh, fish and PowerShell", LEARN),
}

ALIASES: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    ("workers", "logs"): ("logs",),
    ("action", "run"): ("run",),
}
"""Commands that stand under a second name, by it: the same module with the same arguments."""
COMMANDS.update({alias: COMMANDS[meant] for alias, meant in ALIASES.items()})

GROUPS: Final[dict[str, str]] = {
    "cas": "Blobs: the content-addressable storage",
    "action": "Commands with their inputs, run by workers",
    "ac": "Results of actions: the action cache",
    "workers": "The machines that run actions",
    "ops": "Executions: what clients asked to be run",
    "config": "Config files: writing, judging, explaining, comparing",
    "image": "The image that runs parts in containers",
    "queue": "What waits for a worker, and why",
    "context": "Clusters by name: those here, and servers elsewhere",
    "support": "Bundles for those who help",
    "lab": "A practice cluster, and faults to put into it",
}


@dataclass(frozen=True)
class Flag:
    """A global option: every spelling, the environment variable that sets it, and what help says."""

    name: str
    spellings: tuple[str, ...]
    summary: str
    metavar: str = ""
    variable: str = ""
    choices: tuple[str, ...] = ()
    constant: str = ""
    counts: bool = False


FORMATS: Final = ("table", "wide", "tsv", "json", "jsonl", "name")
COLUMNS: Final = "cols="
"""Behind it stand keys of a list's items: a format, too."""
FLAGS: Final = (
    Flag("context", ("-C", "--context"), "which cluster", "NAME", "NLCTL_CONTEXT"),
    Flag("endpoint", ("--endpoint",), "any REAPI server instead of a cluster", "URL", "NLCTL_ENDPOINT"),
    Flag("instance", ("--instance",), "instance name there", "NAME", "NLCTL_INSTANCE"),
    Flag("output", ("-o", "--output"), "how data is written", "FMT", "NLCTL_OUTPUT", FORMATS),
    Flag("output", ("--json",), "same as -o json", constant="json"),
    Flag("quiet", ("-q", "--quiet"), "no progress, no hints; in lists only names", variable="NLCTL_QUIET", counts=True),
    Flag("verbose", ("-v", "--verbose"), "more detail", counts=True),
    Flag("debug", ("--debug",), "tracebacks", variable="NLCTL_DEBUG", counts=True),
    Flag("color", ("--color",), "colours and bold", "WHEN", choices=("auto", "always", "never")),
    Flag(
        "progress",
        ("--progress",),
        "how progress is shown",
        "HOW",
        "NLCTL_PROGRESS",
        choices=("auto", "tty", "plain", "json", "none"),
    ),
    Flag("yes", ("-y", "--yes"), "answer yes", variable="NLCTL_YES", counts=True),
    Flag("no_input", ("--no-input",), "never ask", variable="NLCTL_NO_INPUT", counts=True),
    Flag("timeout", ("--timeout",), "limit for the whole command", "DUR", "NLCTL_TIMEOUT"),
    Flag("help", ("-h", "--help"), "help", counts=True),
    Flag("version", ("-V", "--version"), "the version", counts=True),
)
