"""Real lines of the agent and of the daemons that keep its log: what CloudWatch would get.

`collect()` makes a private instance with the script of the test suite. It runs this file there, as root, with the
emulator at the address of the metadata service. The agent runs as its own user, as sshd starts it. systemd-journald and
then rsyslog keep its lines. Nothing on this machine changes."""

import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

PROJECT = pathlib.Path(__file__).resolve().parents[2]
# A folder that every system has. The private files cover it.
ROOT = next(place for place in map(pathlib.Path, ("/mnt", "/srv", "/media")) if place.is_dir() and place not in PROJECT.parents)
AGENT = ROOT / "bin/eic-agent"
INSTANCE = "i-0123456789abcdef0"
ADDRESS = ("169.254.169.254", 80)
JOURNALD = "/run/systemd/journal"
SETTINGS = pathlib.Path("/etc/eic-agent.toml")
RSYSLOG = """
global(workDirectory="/var/log")
module(load="imuxsock" SysSock.RateLimit.Interval="1" SysSock.RateLimit.Burst="200")
auth,authpriv.* action(type="omfile" file="/var/log/auth.log" template="RSYSLOG_FileFormat")
auth,authpriv.* action(type="omfile" file="/var/log/secure" template="RSYSLOG_TraditionalFileFormat")
*.*;auth,authpriv.none action(type="omfile" file="/var/log/syslog" template="RSYSLOG_FileFormat")
*.*;auth,authpriv.none action(type="omfile" file="/var/log/messages" template="RSYSLOG_TraditionalFileFormat")
"""
# A log whose queue is full for lines about a key, but not for others: the library fails the calls with which the agent
# sends them.
LIBRARY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#define FULL(data, size) if (memmem(data, size, "Providing ssh key", 17)) { errno = EAGAIN; return -1; }
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    FULL(data, size)
    ssize_t (*next)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "sendto");
    return next(fd, data, size, flags, to, length);
}
ssize_t send(int fd, const void *data, size_t size, int flags) {
    FULL(data, size)
    ssize_t (*next)(int, const void *, size_t, int) = dlsym(RTLD_NEXT, "send");
    return next(fd, data, size, flags);
}
"""


def built(name, variable):
    """A program of this project: from the environment, or as cargo builds it."""
    path = pathlib.Path(os.environ.get(variable) or PROJECT / "target/debug" / name)
    if not path.exists():
        raise RuntimeError(f"{path}: not there. Run `cargo build --workspace`, or name the program in {variable}")
    return str(path)


def collect():
    """{"journal": {case: [event]}, "text": {file: {case: [line]}}}"""
    inside = ["sh", str(PROJECT / "tests/suite/world/set-up.sh"), str(ROOT), sys.executable, __file__,
              built("eic-agent", "EIC_AGENT"), built("eic-emulator", "EIC_EMULATOR")]
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]
    run = subprocess.run(["timeout", "--kill-after=5", "600", *unshare, *inside], capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"no private instance, which needs root: {run.stderr[-4000:]}")
    return json.loads(run.stdout)


# --- inside ---------------------------------------------------------------------------------------------


def until(what, ready):
    for _ in range(3000):
        found = ready()
        if found:
            return found
        time.sleep(0.01)
    raise RuntimeError(f"not in 30 s: {what}")


def accepts(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        return one.connect_ex(path) == 0


def start(arguments, **more):
    return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, **more)


def stop(process):
    process.terminate()
    process.wait()


class Emulator:
    """The metadata service and the API of one instance."""

    def __init__(self, program, *options):
        log = open(ROOT / "emulator.log", "ab")
        self.process = start([program, "serve", "--imds", "%s:%s" % ADDRESS, "--key-ttl", "540", *options],
                             stdout=subprocess.PIPE, stderr=log)
        self.info = json.loads(self.process.stdout.readline())
        authority = pathlib.Path(self.info["ca_file"]).read_bytes()
        for bundle in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                       "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"):
            if os.path.exists(bundle):
                pathlib.Path(bundle).write_bytes(authority)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process)

    def push(self, key):
        body = {"InstanceId": INSTANCE, "InstanceOSUser": "ec2-user", "SSHPublicKey": key}
        url = self.info["api"] if "://" in self.info["api"] else f"http://{self.info['api']}"
        request = urllib.request.Request(url, json.dumps(body).encode(), {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "AWSEC2InstanceConnectService.SendSSHPublicKey",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={self.info['access_key']}/20260101/us-east-1/"
                             "ec2-instance-connect/aws4_request, SignedHeaders=host, Signature=0",
        })
        urllib.request.urlopen(request, timeout=20).read()


class Metadata:
    """A metadata service that gives every request the same status. With 0, it never answers."""

    def __init__(self, status):
        class Answer(http.server.BaseHTTPRequestHandler):
            def answer(self):
                if not status:
                    time.sleep(30)
                self.send_response(status or 500)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_PUT = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(ADDRESS, Answer)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.socket.close()


def run_agent(seconds="60", **environment):
    """Runs the agent as sshd starts it."""
    subprocess.run(["setpriv", "--reuid", "eic-agent", "--regid", "eic-agent", "--clear-groups", str(AGENT), "authorized-keys",
                    "--timeout", seconds, "ec2-user"], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def forge():
    """What any local user can write: a line that looks like one of the agent."""
    words = "Providing ssh key from EC2 Instance Connect with fingerprint: SHA256:forged, request-id: forged"
    subprocess.run(["setpriv", "--reuid", "ubuntu", "--regid", "ubuntu", "--clear-groups", "logger", "-p", "authpriv.info", "-t",
                    "eic-agent", words], check=True)


def cases(emulator, key, library, record):
    """Each case makes at least one line of the agent."""
    with Emulator(emulator) as service:
        service.push(key)
        record("granted", run_agent)
        record("forged", forge)
        SETTINGS.write_text("[policy]\ndefault = \"deny\"\n")
        record("denied-by-default", run_agent)
        SETTINGS.write_text("[audit]\nrequired = true\n")
        record("audit-unavailable", lambda: run_agent(LD_PRELOAD=library))
        SETTINGS.write_text("[audit]\nrequired = maybe\n")
        record("settings-invalid", run_agent)
        SETTINGS.unlink()
    with Emulator(emulator, "--clock-offset", "-600") as service:
        service.push(key)
        record("expired", run_agent)
    for status, reason in ((429, "metadata-throttled"), (503, "metadata-throttled"), (403, "metadata-forbidden")):
        with Metadata(status):
            record(f"{reason} {status}", lambda: run_agent("2"))
    with Metadata(0):
        record("metadata-timeout", lambda: run_agent("2"))
    record("metadata-unreachable", lambda: run_agent("2"))


def journal(run_cases):
    """Events as the CloudWatch agent sends them: an entry of `journalctl --output=json`, without its time."""
    groups = pathlib.Path("/sys/fs/cgroup")
    groups.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "cgroup2", "cgroup2", groups], check=True)
    own = groups / f"eic-test-{time.time_ns()}"
    for name in ("init.scope", "system.slice/ssh.service", "system.slice/other.service"):
        (own / name).mkdir(parents=True)
    # journald takes the group of the first process as the root.
    (own / "init.scope/cgroup.procs").write_text("1")
    os.makedirs(JOURNALD)
    os.makedirs("/run/systemd/journald.conf.d")
    pathlib.Path("/run/systemd/journald.conf.d/test.conf").write_text(
        "[Journal]\nStorage=volatile\nRateLimitIntervalSec=1s\nRateLimitBurst=100\n")
    pathlib.Path("/etc/machine-id").write_text("3d1219c7c4c5404aaa1f6d2a48adfda4\n")
    program = next(path for path in ("/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald") if os.path.exists(path))
    daemon = start([program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until("journald listens", lambda: accepts(f"{JOURNALD}/dev-log"))
    os.symlink(f"{JOURNALD}/dev-log", "/dev/log")
    # What `configure` says, and what the receiver of the CloudWatch agent makes of it.
    matches = json.loads(subprocess.run(["sh", PROJECT / "packaging/fleet/cloudwatch/configure", "--print"], check=True,
                                        capture_output=True, text=True).stdout)["logs"]["logs_collected"]["journald"]["collect_list"][0]
    words = []
    for match in matches["matches"]:
        words += (["+"] if words else []) + [f"{field}={match[field]}" for field in sorted(match)]
    reader = ["journalctl", "--utc", "--output=json", "--no-pager", "--quiet", "--priority", matches["priority"], *words]

    def events():
        found = subprocess.run(reader, capture_output=True, text=True)
        entries = [json.loads(line) for line in found.stdout.splitlines()]
        for entry in entries:
            entry.pop("__REALTIME_TIMESTAMP")
        return [{"body": entry} for entry in entries]

    def flood(unit):
        def lines():
            (own / f"system.slice/{unit}/cgroup.procs").write_text(str(os.getpid()))
        many = "\n".join(f"line {count}" for count in range(5000))
        for _ in range(2):
            subprocess.run(["logger", "-p", "authpriv.info", "-t", "sshd"], input=many, text=True, preexec_fn=lines, check=True)
            time.sleep(1.2)

    found = {}
    seen = 0

    def record(name, action, wait=True):
        nonlocal seen
        action()
        if wait:
            until(f"{name} is in the journal", lambda: len(events()) > seen)
        now = events()
        found[name] = now[seen:]
        seen = len(now)

    try:
        run_cases(lambda name, action: record(name, action, wait=name != "forged"))
        record("lost of ssh.service", lambda: flood("ssh.service"))
        record("lost of other.service", lambda: flood("other.service"))
    finally:
        stop(daemon)
        (groups / "cgroup.procs").write_text("1")
        for folder, _, _ in os.walk(own, topdown=False):
            os.rmdir(folder)
        subprocess.run(["umount", groups], check=True)
    shutil.rmtree(JOURNALD)
    os.remove("/dev/log")
    return found


def text(run_cases):
    """Lines of each file in /var/log."""
    config = ROOT / "rsyslog.conf"
    config.write_text(RSYSLOG)
    daemon = start(["rsyslogd", "-n", "-i", "/run/rsyslogd.pid", "-f", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until("rsyslogd listens", lambda: os.path.exists("/dev/log") and accepts("/dev/log"))
    files = {name: pathlib.Path("/var/log") / name for name in ("auth.log", "secure", "syslog", "messages")}
    found = {name: {} for name in files}
    seen = dict.fromkeys(files, 0)

    def lines(name):
        return files[name].read_text(errors="replace").splitlines() if files[name].exists() else []

    def record(case, action, of=("auth.log", "secure")):
        action()
        until(f"{case} is in {of}", lambda: all(len(lines(name)) > seen[name] for name in of))
        time.sleep(0.1)
        for name in files:
            now = lines(name)
            found[name][case] = now[seen[name]:]
            seen[name] = len(now)

    def flood():
        many = "\n".join(f"line {count}" for count in range(2000))
        for _ in range(2):
            subprocess.run(["logger", "-p", "authpriv.info", "-t", "sshd"], input=many, text=True, check=True)
            time.sleep(1.5)
        subprocess.run(["logger", "-p", "user.info", "done"], check=True)

    def claim():
        # Another program that logs words of the agent.
        subprocess.run(["logger", "-p", "authpriv.info", "-t", "sudo", "eic-agent[1]: No ssh keys from EC2 Instance Connect for "
                        "user x: expired: x"], check=True)

    try:
        run_cases(record)
        record("another program", claim)
        record("lost", flood, of=("syslog", "messages"))
    finally:
        stop(daemon)
    return found


def main(agent, emulator):
    os.chmod(shutil.copy(agent, AGENT), 0o755)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/sys"], check=True)
    os.makedirs("/sys/devices/virtual/dmi/id")
    pathlib.Path("/sys/devices/virtual/dmi/id/board_asset_tag").write_text(INSTANCE + "\n")
    for folder in ("/var/log", "/opt"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder], check=True)
    # A CloudWatch agent for `configure`.
    tools = pathlib.Path("/opt/aws/amazon-cloudwatch-agent/bin")
    tools.mkdir(parents=True)
    (tools / "CWAGENT_VERSION").write_text("1.300071.0b1\n")
    (tools / "amazon-cloudwatch-agent-ctl").write_text("#!/bin/sh\nexit 1\n")
    (tools / "amazon-cloudwatch-agent-ctl").chmod(0o755)
    SETTINGS.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", ROOT / "key"], check=True)
    key = (ROOT / "key.pub").read_text()
    source, library = ROOT / "log.c", ROOT / "log.so"
    source.write_text(LIBRARY)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)

    def run_cases(record):
        cases(emulator, key, str(library), record)

    json.dump({"journal": journal(run_cases), "text": text(run_cases)}, sys.stdout)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main(*sys.argv[1:])
