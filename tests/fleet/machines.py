"""Machines for the tests of packaging/fleet: a Debian tree with sshd, instance metadata, a signed repository and a mock of
AWS, each in its own namespaces. tests/packages makes the trees, the repositories and the namespaces."""

import atexit
import base64
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target"))


class Bench:
    """The shared files. One for all machines of a run."""

    one = None

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.environment = {
            **os.environ,
            "STUFF": self.folder,
            "PROJECT": str(PROJECT),
            "EMULATOR": os.environ.get("EIC_EMULATOR", str(TARGET / "release/eic-emulator")),
            "PACKAGES": os.environ.get("EIC_PACKAGES", str(TARGET / "packages")),
            "LATER_PACKAGES": os.environ.get("EIC_LATER_PACKAGES", str(PROJECT / "target/package-test/later")),
            "CLIENTS": str(PROJECT / "target/clients/bin"),
            "FLEET_PYTHON": sys.executable,
            "LC_ALL": "C",
            "TMPDIR": self.folder,
            "PATH": os.environ["PATH"] + ":/usr/local/sbin:/usr/sbin:/sbin",
        }
        enter = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
        self.process = subprocess.Popen(
            [*enter, str(HERE / "bench")],
            env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for line in self.process.stdout:
            if line == "ready\n":
                break
            name, _, value = line.strip().partition("=")
            self.environment[name] = value
        else:
            raise AssertionError("the shared files cannot be made: see above")
        outside = self.process.pid
        self.pid = pathlib.Path(f"/proc/{outside}/task/{outside}/children").read_text().split()[0]

    @classmethod
    def get(cls):
        if os.geteuid() != 0:
            raise AssertionError("these tests make namespaces and install packages in them: run them as root")
        if not cls.one:
            cls.one = cls()
            atexit.register(cls.end)
        return cls.one

    @classmethod
    def end(cls):
        if cls.one:
            cls.one.process.stdin.close()
            cls.one.process.wait(60)
            cls.one.process.stdout.close()
            os.rmdir(cls.one.folder)
            cls.one = None


class Machine:
    """A machine. `kind` is deb or rpm."""

    def __init__(self, kind):
        self.bench = Bench.get()
        self.names = self.bench.environment
        enter = ["nsenter", "--target", self.bench.pid, "--mount", "--pid"]
        world = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", str(PROJECT / "tests/packages/world")]
        self.process = subprocess.Popen(
            [*enter, *world, "release/trixie", str(HERE / "machine.sh")],
            env={**self.names, "FLEET_KIND": kind}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        self.answer()

    def answer(self):
        """The exit status and the output of the last command."""
        lines = []
        for line in self.process.stdout:
            line = line.decode(errors="replace")
            if line.startswith("~~~ "):
                return int(line[4:]), "".join(lines).rstrip("\n")
            lines.append(line)
        raise AssertionError("the machine has ended: " + "".join(lines))

    def do(self, command):
        """Executes a command of machine.sh or of tests/packages/lib.sh, outside the tree."""
        self.process.stdin.write(base64.b64encode(command.encode()) + b"\n")
        self.process.stdin.flush()
        return self.answer()

    def must(self, command):
        status, output = self.do(command)
        if status != 0:
            raise AssertionError(f"this ended with {status}: {command}\n{output}")
        return output

    def write(self, path, content, mode="644"):
        """Writes a file of the tree."""
        text = base64.b64encode(content.encode()).decode()
        path = shlex.quote(path)
        self.must(f"mkdir -p \"$ROOT\"$(dirname {path}) && echo {text} | base64 -d >\"$ROOT\"{path} && chmod {mode} \"$ROOT\"{path}")

    def script(self, text, shell="dash", **environment):
        """Runs a script as SSM Agent does."""
        self.write("/run/ssm.sh", text)
        words = " ".join(shlex.quote(f"{name}={value}") for name, value in environment.items())
        return self.do(f"as_ssm {'bash' if shell == 'bash' else 'dash'} /run/ssm.sh {words}")

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def tool(name):
    """A program of the environment that runs the tests."""
    return str(pathlib.Path(sys.executable).parent / name)
