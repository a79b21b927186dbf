"""Operators by the dozen: each is a process of its own, forked from one that has imported everything already.

Importing takes a second of processor time, and an operator that is killed at every write is started very often.
"""

import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import kubernetes.aio.config.kube_config
import kubernetes.config.kube_config

from modelrollout.controller.main import main

_FORKS: Any = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Operator:
    """One process."""

    process: ForkServerProcess
    log: Path

    def kill(self) -> None:
        """As the kernel does it."""
        self.process.kill()

    @property
    def is_ready(self) -> bool:
        """Whether it has seen everything there is."""
        return " ready: " in self.log.read_text()


def start(kubeconfig: Path, log: Path, *options: str) -> Operator:
    """An operator that begins to start, with these credentials."""
    log.touch()
    process = _FORKS.Process(target=_become_operator, args=(kubeconfig, log, options), daemon=True)
    process.start()
    return Operator(process, log)


def _become_operator(kubeconfig: Path, log: Path, options: Sequence[str]) -> None:
    # Both read KUBECONFIG when they are imported, which was long ago.
    clients: list[Any] = [kubernetes.config.kube_config, kubernetes.aio.config.kube_config]
    for client in clients:
        client.KUBE_CONFIG_DEFAULT_LOCATION = str(kubeconfig)
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    main(["--metrics-port=0", *options])
