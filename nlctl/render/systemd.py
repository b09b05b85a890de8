"""Units of systemd: the CAS, the scheduler, a template for workers, and a target that starts them together."""

from __future__ import annotations

from typing import Final

from nlctl.render.shape import CAS, CLIENTS, WORKERS, Shape

_HOST: Final = "127.0.0.1"
_DIRECTORY: Final = "/etc/nlserver"
_GUARDS: Final = (
    "DynamicUser=yes",
    "NoNewPrivileges=yes",
    "PrivateTmp=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "RestrictSUIDSGID=yes",
)


def files(shape: Shape) -> dict[str, str]:
    """The units, the configs that they name, and a note on where they belong."""
    units = {
        "nlserver-cas.service": _unit(shape, "cas", "cas", "The CAS and action cache", 120),
        "nlserver-scheduler.service": _unit(shape, "scheduler", "scheduler", "The scheduler", 120),
        "nlserver-worker@.service": _unit(shape, "worker", "worker-%i", "Worker %i", 660),
        "nlserver.target": _target(shape.workers),
    }
    return {**units, **shape.configs, "INSTALL": _install(shape)}


def _unit(shape: Shape, part: str, called: str, what: str, stop_seconds: int) -> str:
    directory = f"nlserver-{called}"
    environment = {"DATA": f"/var/lib/{directory}", **_environment(shape)[part]}
    after = {"cas": "", "scheduler": " nlserver-cas.service", "worker": " nlserver-scheduler.service"}[part]
    socket = f"--admin-socket /run/{directory}/admin.sock"
    lines = [
        "[Unit]",
        f"Description={what} of build cluster {shape.name}",
        f"After=network.target{after}",
        "PartOf=nlserver.target",
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart={shape.program} {socket} --name {called} {_DIRECTORY}/{part}.json5",
        *(f"Environment={name}={value}" for name, value in environment.items()),
        f"StateDirectory={directory}",
        f"RuntimeDirectory={directory}",
        "Restart=always",
        "RestartSec=1",
        # It ends with this status after it finished what ran.
        "SuccessExitStatus=143",
        # A config that is wrong does not get better.
        "RestartPreventExitStatus=13",
        f"TimeoutStopSec={stop_seconds}",
        "KillMode=mixed",
        "LimitNOFILE=65536",
        *_GUARDS,
        "",
        "[Install]",
        "WantedBy=nlserver.target",
    ]
    return "\n".join(lines) + "\n"


def _environment(shape: Shape) -> dict[str, dict[str, str]]:
    endpoint = {"CAS_ENDPOINT": f"{_HOST}:{CAS}"}
    return {
        "cas": {"CAS_LISTEN": f"{_HOST}:{CAS}", "CAS_SIZE": shape.cas_size},
        "scheduler": {
            "CLIENT_LISTEN": f"{_HOST}:{CLIENTS}",
            "WORKER_API_LISTEN": f"{_HOST}:{WORKERS}",
            **endpoint,
        },
        "worker": {"WORKER_NAME": "worker-%i", "SCHEDULER_ENDPOINT": f"{_HOST}:{WORKERS}", **endpoint},
    }


def _target(workers: int) -> str:
    names = ["cas", "scheduler", *(f"worker@{number}" for number in range(1, workers + 1))]
    wants = " ".join(f"nlserver-{name}.service" for name in names)
    return f"[Unit]\nDescription=A build cluster\nWants={wants}\n\n[Install]\nWantedBy=multi-user.target\n"


def _install(shape: Shape) -> str:
    return (
        f"The units of build cluster {shape.name}.\n\n"
        f"  sudo install -D -m 644 -t {_DIRECTORY} *.json5\n"
        "  sudo install -m 644 -t /etc/systemd/system nlserver*.service nlserver.target\n"
        "  sudo systemctl daemon-reload\n"
        "  sudo systemctl enable --now nlserver.target\n\n"
        "One more worker:  sudo systemctl enable --now nlserver-worker@9.service\n"
    )
