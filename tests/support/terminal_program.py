"""The command line as people and scripts run it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result

from modelrollout.cli.main import main

_START = "from modelrollout.cli.main import main; main()"


@dataclass(frozen=True)
class Program:
    """`kubectl-modelrollout` with the rights of a user, in a namespace."""

    kubeconfig: Path
    namespace: str

    def run(self, *args: str) -> Result:
        """Run a command to its end, in this process: that saves a second of imports each time."""
        return CliRunner().invoke(main, [*args, *self._where], env={"COLUMNS": "200"})

    def start(self, *args: str) -> "subprocess.Popen[str]":
        """Start a command as a process of its own, and leave it running."""
        command = [sys.executable, "-c", _START, *args, *self._where]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @property
    def _where(self) -> tuple[str, str]:
        return f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}"
