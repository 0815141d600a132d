"""packaging/fleet and packaging/ami where something else fails: a full disk, a package manager, a log that rotates. The
scripts run with small programs in place of those that the fault needs."""

import gzip
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import ssm
import test_rollout

INSTANCE = test_rollout.INSTANCE
# `aws s3 cp --only-show-errors FILE s3://BUCKET/NAME`.
AWS = '#!/bin/sh\ntarget=$BUCKET/${5#s3://*/}\nmkdir -p "${target%/*}" && cp "$4" "$target"\n'
# `install -d -o eic-agent …`: this machine has no such user.
INSTALL = '#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\nmkdir -p "$1"\n'
# The script limits the size of each file of the agent.
FILL = "for other in 1 2 3 4 5 6 7 8; do (dd if=/dev/zero of=$HOME_OF/other$other bs=4k count=400 2>/dev/null) || :; done"


def lines(number, *ids, at="2026-11-28T01:02:03Z"):
    """The lines of an export."""
    head = {"export_state": "ab" * 16, "export_number": number, "exported_at": at, "instance_id": INSTANCE,
            "account": "123456789012", "region": "us-east-1", "boot_id": "cd" * 16}
    text = [{"kind": "session", "id": one, **head} for one in ids] + [{"kind": "coverage", "id": f"c{number}", **head}]
    return "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in text)


class Export(unittest.TestCase):
    """The script of export.yaml. Its folder is a small disk of its own."""

    def setUp(self):
        if os.geteuid() != 0:
            raise AssertionError("these tests mount a small disk in a namespace of their own: run them as root")
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.home = self.folder / "disk"
        for name in ("bin", "bucket", "disk"):
            (self.folder / name).mkdir()
        (script,) = ssm.scripts(test_rollout.DOCUMENTS["export"], {"Bucket": "fleet-logs", "MinFreeMegabytes": "1"})
        (self.folder / "export.sh").write_text(script.replace("/var/lib/eic-agent-fleet", str(self.home)))
        for name, text in (("aws", AWS), ("install", INSTALL)):
            self.program(name, text)

    def program(self, name, text):
        path = self.folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def agent(self, export, then=":", status=0):
        """An agent whose export is this text. `then` happens after its state advanced."""
        (self.folder / "lines").write_text(export)
        doctor = {"at": "2026-11-28T01:02:04Z", "instance": {"instance_id": INSTANCE, "account": "123456789012", "region": "us-east-1"}}
        (self.folder / "doctor").write_text(json.dumps(doctor))
        self.program("eic-agent", f"#!/bin/sh\ncase $1 in\nsessions) cat {self.folder}/lines; {then}; exit {status} ;;\n"
                                  f"doctor) cat {self.folder}/doctor ;;\nesac\n")

    def run_on_disk(self, *steps):
        """Runs these commands on one new disk of 6 MB, with the folder of the script. `export` is the script."""
        text = "\n".join(["set -eu", f"mount -t tmpfs -o size=6m,mode=755 tmpfs {self.home}",
                          f"mkdir -p {self.home}/state {self.home}/spool/exports && : >{self.home}/export.lock", f"cd {self.home}",
                          f"run() {{ sh {self.folder}/export.sh 2>&1 && echo status=0 || echo status=$?; }}", *steps])
        environment = {**os.environ, "PATH": f"{self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "BUCKET": str(self.folder / "bucket"),
                       "HOME_OF": str(self.home)}
        done = subprocess.run(["unshare", "--mount", "sh", "-c", text], env=environment, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    def in_bucket(self):
        """The exports of sessions in the bucket: names and contents."""
        return {path.name: gzip.decompress(path.read_bytes()).decode() for path in self.folder.glob("bucket/exports/sessions/*/*.gz")}

    name = f"123456789012_us-east-1_{INSTANCE}_010203Z"

    def test_disk_that_fills_up_meanwhile_loses_no_export(self):
        self.agent(lines(7, "s1", "s2"), f"[ -e {self.folder}/filled ] || {{ : >{self.folder}/filled; {FILL}; }}")
        (self.folder / "next").write_text(lines(8, "s3", at="2026-11-28T02:02:03Z"))
        said = self.run_on_disk("run", "ls -l spool", "rm other*", f"cp {self.folder}/next {self.folder}/lines", "run")
        self.assertRegex(said, r"expected room on the disk[^$]*The export stays in .*new\.part[^$]*status=1")
        self.assertEqual(sorted(self.in_bucket().values()), sorted([lines(7, "s1", "s2"), lines(8, "s3", at="2026-11-28T02:02:03Z")]))

    def test_full_disk_is_freed_by_what_waits(self):
        """A killed run left a complete export, and another one waits for its upload."""
        self.agent(lines(8, "s3"))
        (self.folder / "left").write_text(lines(7, "s1", "s2"))
        said = self.run_on_disk(
            f"cp {self.folder}/left spool/new.part", "mkdir -p spool/exports/sessions/day=2026-11-27",
            "head -c 400000 /dev/urandom | base64 | gzip >spool/exports/sessions/day=2026-11-27/waits.jsonl.gz", FILL, "run")
        self.assertRegex(said, "of free space[^$]*status=1")
        found = self.in_bucket()
        self.assertEqual((len(found.pop("waits.jsonl.gz")) > 0, found), (True, {f"{self.name}.jsonl.gz": lines(7, "s1", "s2")}))

    def test_full_disk_does_not_stop_uploads(self):
        self.agent(lines(8, "s3"))
        said = self.run_on_disk("mkdir -p spool/exports/sessions/day=2026-11-27", ": >spool/names",
                                "echo x | gzip >spool/exports/sessions/day=2026-11-27/waits.jsonl.gz", FILL, "run")
        self.assertRegex(said, "of free space[^$]*status=1")
        self.assertEqual(self.in_bucket(), {"waits.jsonl.gz": "x\n"})

    def test_complete_export_stays_if_the_log_rotated_before_its_state_advanced(self):
        """The next export has the same number, and fewer lines."""
        for at in ("2026-11-28T01:02:03Z", "2026-11-28T02:02:03Z"):
            with self.subTest(at=at):
                self.agent(lines(7, "s2", at=at))
                (self.folder / "left").write_text(lines(7, "s1", "s2"))
                self.assertIn("status=0", self.run_on_disk(f"cp {self.folder}/left spool/new.part", "run"))
                other = f"{self.name}-2" if at.endswith("01:02:03Z") else self.name.replace("_01", "_02")
                self.assertEqual(self.in_bucket(), {f"{self.name}.jsonl.gz": lines(7, "s1", "s2"), f"{other}.jsonl.gz": lines(7, "s2", at=at)})
                for path in self.folder.glob("bucket/exports/sessions/*/*.gz"):
                    path.unlink()

    def test_export_without_its_last_line_is_removed_only_if_the_state_did_not_advance(self):
        half = lines(7, "s1", "s2")[:-20]
        for status, left in ((0, half), (1, half), (2, None), (10, None), (137, None)):
            with self.subTest(status=status):
                self.agent(half, status=status)
                said = self.run_on_disk("run", "cat spool/new.part 2>/dev/null || :")
                self.assertRegex(said, f"ended with {status}:[^$]*status=1\n{'' if left is None else left[:20]}")
                self.assertEqual(said.endswith(half), left is not None)
                self.assertEqual(self.in_bucket(), {})


# In place of the package manager, of sshd and of the agent. Version 2.0 lets nobody log in.
STUBS = """
V=1.0
find_manager() { manager=apt; }
id() { echo 0; }
installed_version() { echo $V; }
works() { [ $V = 1.0 ]; }
apt() { case "$*" in *=1.0*) V=1.0 ;; *) V=2.0; return $PUT ;; esac; }
know_repository() { :; }
eic-agent() { case $1 in status | doctor) works ;; *) echo "v$V" ;; esac; }
systemctl() { :; }
command() { echo $SSHD; }
trap 'say "at the end: $V"' EXIT
main "$@"
"""


class Provision(unittest.TestCase):
    def test_each_fault_of_an_upgrade_goes_back(self):
        script = (test_rollout.machines.PROJECT / "packaging/ami/provision").read_text()
        self.assertTrue(script.endswith('\nmain "$@"\n'))
        # There is a server to restart.
        script = script.removesuffix('main "$@"\n').replace("[ ! -d /run/systemd/system ]", "false") + STUBS
        for put, sshd, says in (("0", "/bin/true", "does not use eic-agent"), ("1", "/bin/true", "without a fault"),
                                ("0", "/bin/false", "does not accept its configuration")):
            with self.subTest(says):
                done = subprocess.run(["bash", "-c", script, "provision", "https://packages.example.com", "0" * 40],
                                      env={**os.environ, "PUT": put, "SSHD": sshd}, capture_output=True, text=True)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertRegex(done.stderr, f"1.0 is in place again[^$]*{says}[^$]*at the end: 1.0")


if __name__ == "__main__":
    unittest.main()
