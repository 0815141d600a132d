"""packaging/fleet on a machine that changes: executions that are killed at every step, upgrades that go wrong, Ansible."""

import json
import re
import time

import machines
import test_rollout

# The programs of the script of export.yaml that change something.
WRAPPED = ("aws", "eic-agent", "gzip", "mv", "rm", "sync")
# A wrapper counts its calls. At the call /run/at, it kills the script before or after the program, or fails.
WRAPPER = r"""#!/bin/sh
name=${0##*/}
call=$(($(cat /run/call) + 1))
echo $call >/run/call
real=/usr/bin/$name
[ "$name" != aws ] || real=/run/aws
end() {
    kill -9 "-$(cat /run/group)"
    kill -9 $$
}
[ "$call" = "$(cat /run/at)" ] || exec $real "$@"
echo "$name $1" >/run/killed
case $(cat /run/when)-$name-$1 in
before-*) end ;;
fail-*) exit 1 ;;
# The agent has written all lines, but its state has not advanced.
state-eic-agent-sessions)
    cp -a /var/lib/eic-agent-fleet/state /run/state
    $real "$@"
    rm -rf /var/lib/eic-agent-fleet/state
    mv /run/state /var/lib/eic-agent-fleet/state
    ;;
# The agent was killed while it wrote.
half-eic-agent-sessions)
    cp -a /var/lib/eic-agent-fleet/state /run/state
    $real "$@" | head -c 300
    rm -rf /var/lib/eic-agent-fleet/state
    mv /run/state /var/lib/eic-agent-fleet/state
    ;;
*) $real "$@" ;;
esac
end
"""
# `aws s3 cp --only-show-errors FILE s3://BUCKET/NAME`, quickly. It reports a name that gets another content.
QUICK_AWS = r"""#!/bin/sh
target=/run/bucket/${5#s3://*/}
mkdir -p "${target%/*}"
[ ! -e "$target" ] || cmp -s "$4" "$target" || echo "$target" >>/run/conflicts
cp "$4" "$target.new" && mv "$target.new" "$target"
"""


class ChangesOnDebian(test_rollout.OnAMachine):
    kind = "deb"

    def playbook(self, repository, *options):
        """Runs the role over ssh, as root."""
        values = self.install_values(repository)
        variables = json.dumps({"eic_agent_repository": values["Repository"], "eic_agent_fingerprint": values["Fingerprint"], **self.settings})
        return self.machine.do(
            "mkdir -p $ROOT/root/.ssh $MACHINE/home && cp $STUFF/keys/own.pub $ROOT/root/.ssh/authorized_keys &&"
            "cd $MACHINE/home && env LC_ALL=C.UTF-8 HOME=$MACHINE/home ANSIBLE_NOCOLOR=1 ANSIBLE_HOST_KEY_CHECKING=False ANSIBLE_LOCAL_TEMP=$MACHINE/home"
            f" {machines.tool('ansible-playbook')} -i 127.0.0.1, -u root --private-key $STUFF/keys/own --diff"
            " --ssh-common-args '-F /dev/null -o UserKnownHostsFile=/dev/null' -e ansible_python_interpreter=/usr/bin/python3"
            f" -e '{variables}' {' '.join(options)} {test_rollout.FLEET}/ansible/playbook.yml </dev/null 2>&1")

    settings = {}

    def changed(self, answer, status=0):
        """The names of the tasks that changed something, without the words by which --check differs."""
        self.assertEqual(answer[0], status, answer[1])
        tasks = re.findall(r"TASK \[(.*?)\][^\n]*\n((?:(?!TASK|PLAY).*\n)*)", answer[1] + "\n")
        return [name for name, text in tasks if re.search(r"^changed: ", text, re.MULTILINE)]

    def counts(self, answer):
        return int(re.search(r"changed=(\d+)", answer[1])[1])

    def test_10_ansible_predicts_and_installs_and_repeats(self):
        self.machine.must("keep etc etc-before; keep var/lib var-before")
        predicted = self.playbook("sound", "--check")
        self.assertEqual(len(self.changed(predicted)), 1)
        for word in ('"install"', '"repository"', '"key"'):
            self.assertIn(word, predicted[1])
        # --check changes nothing.
        self.machine.must("keep etc etc-now && diff $MACHINE/etc-before $MACHINE/etc-now; keep var/lib var-now && diff $MACHINE/var-before $MACHINE/var-now")
        done = self.playbook("sound")
        self.assertEqual(len(self.changed(done)), 1)
        self.machine.do("wait_for_sshd")
        self.assertEqual(self.version(), self.machine.names["VERSION"])
        for options in ((), ("--check",)):
            self.assertEqual(self.changed(self.playbook("sound", *options)), [])

    def test_11_ansible_writes_only_settings_that_the_agent_accepts(self):
        self.settings = {"eic_agent_settings": "[limits]\nnonsense = 1\n"}
        self.assertIn("failed to validate", self.playbook("sound")[1])
        self.settings = {"eic_agent_settings": "# of the operator\n"}
        for options in (("--check",), ()):
            self.assertEqual(self.changed(self.playbook("sound", *options)), ["eic_agent : Write the settings, if eic-agent accepts them"])
        self.assertEqual(self.changed(self.playbook("sound")), [])
        # eic-agent accepts these settings, but no login would work with them.
        self.settings = {"eic_agent_settings": '[imds]\nendpoint = "http://127.0.0.1:9"\n'}
        answer = self.playbook("sound")
        self.assertEqual(answer[0], 2, answer[1])
        self.assertIn("The old settings are in place again", " ".join(answer[1].split()))
        self.assertEqual(self.machine.must("cat $ROOT/etc/eic-agent.toml"), "# of the operator")
        # The host had no settings before.
        self.machine.must("mv $ROOT/etc/eic-agent.toml $MACHINE/settings")
        answer = self.playbook("sound")
        self.assertEqual(answer[0], 2, answer[1])
        self.machine.must("[ ! -e $ROOT/etc/eic-agent.toml ] && mv $MACHINE/settings $ROOT/etc/eic-agent.toml")

    def test_12_ansible_upgrades(self):
        for options in (("--check",), ()):
            answer = self.playbook("sound-later", *options)
            self.assertEqual(self.counts(answer), 1, answer[1])
        self.assertEqual(self.version(), self.machine.names["LATER_VERSION"])
        self.assertEqual(self.machine.must("cat $ROOT/etc/eic-agent.toml"), "# of the operator")
        self.assertEqual(self.changed(self.playbook("sound-later")), [])

    def test_13_ansible_installs_nothing_from_another_key(self):
        before = self.version()
        self.assertEqual(self.playbook("stranger-key")[0], 2)
        self.assertEqual(self.version(), before)
        for values in ({"eic_agent_repository": "http://packages.example.com"}, {"eic_agent_fingerprint": "$(id)"}):
            self.settings = values
            answer = self.playbook("sound")
            self.assertEqual(answer[0], 2)
            self.assertIn("as `make repo` prints them", answer[1])

    def test_20_upgrade_keeps_settings_and_a_bad_one_goes_back(self):
        self.settings = {}
        # A version whose doctor finds a fault, with another settings file in the package.
        self.machine.must(
            "cd $MACHINE && dpkg-deb -R $STUFF/offer/later/eic-agent_*_amd64.deb bad && sed -i 's/^Version: .*/Version: 99.1.0-1/' bad/DEBIAN/control &&"
            "echo '# another one' >>bad/etc/eic-agent.toml && mv bad/usr/bin/eic-agent bad/usr/bin/real &&"
            "printf '#!/bin/sh\\n[ $1 != doctor ] || exit 1\\nexec /usr/bin/real \"$@\"\\n' >bad/usr/bin/eic-agent && chmod 755 bad/usr/bin/eic-agent &&"
            "rm -f bad/DEBIAN/md5sums && mkdir bad-packages && cp $STUFF/offer/later/* bad-packages && dpkg-deb -b bad bad-packages/eic-agent_99.1.0-1_amd64.deb &&"
            "EIC_SIGNING_KEY=$STUFF/signing-key EIC_REPO_URL=https://packages.example.com/bad PACKAGES=$MACHINE/bad-packages REPO=$STUFF/offer/bad"
            " GNUPGHOME= $PROJECT/packaging/repository >bad-said 2>&1 && ln -s $STUFF/offer/bad web/bad")
        self.expect(1, "going back to it[^$]*is in place again[^$]*no image should be made", self.run_document("install", self.install_values("bad")))
        self.assertEqual(self.version(), self.machine.names["LATER_VERSION"])
        self.assertEqual(self.machine.must("cat $ROOT/etc/eic-agent.toml"), "# of the operator")
        self.machine.must("in_root eic-agent doctor --quiet")
        self.expect(0, "ok .* logged in as ec2-user", self.machine.do("push ec2-user pushed; check_login ec2-user pushed"))

    def test_30_an_export_that_is_killed_at_any_step_loses_nothing_and_repeats_nothing(self):
        for name in WRAPPED:
            self.machine.write(f"/run/first/{name}", WRAPPER, "755")
        self.machine.write("/run/aws", QUICK_AWS, "755")
        (script,) = test_rollout.ssm.scripts(test_rollout.DOCUMENTS["export"], {"Bucket": "fleet-logs"})
        self.machine.write("/run/killed.sh", "echo $$ >/run/group\n" + script)

        def run(at, when):
            return self.machine.do(f"echo 0 >$ROOT/run/call; echo {at} >$ROOT/run/at; echo {when} >$ROOT/run/when; as_ssm dash /run/killed.sh")

        ports = [2000]
        self.log(ports[-1])
        self.expect(0, "exported", run(0, "never"))
        calls = int(self.machine.must("cat $ROOT/run/call"))
        self.assertGreater(calls, 20)
        agent = next(at for at in range(1, calls) if self.is_agent(run, at))
        # A kill after one program is a kill before the next one.
        steps = [(at, when) for at in range(1, calls + 1) for when in ("after", "fail")]
        steps += [(agent, "half"), (agent, "state"), (agent, "half"), (agent, "state")]
        killed = 0
        for at, when in steps:
            if when in ("half", "state"):
                # The agent has this place only in an execution that finds nothing to upload or to clear up.
                run(0, "never")
            ports.append(ports[-1] + 1)
            self.log(ports[-1])
            killed += run(at, when)[0] == 137
            if when == "state":
                # The next export has the same number. In the same second, it would also have the same bytes and name.
                time.sleep(1.1)
            # Some steps are followed by another kill, and some by a good execution.
            if at % 3 == 0:
                run(0, "never")
        self.assertGreater(killed, len(steps) // 3)
        self.expect(0, "exported", run(0, "never"))
        self.assertEqual(self.machine.do("cat $ROOT/run/conflicts 2>/dev/null"), (1, ""))
        names = self.machine.must("cd $ROOT/run/bucket && find exports/sessions -name '*.gz' | sort").splitlines()
        lines = [json.loads(line) for line in self.machine.must("cd $ROOT/run/bucket && find exports/sessions -name '*.gz' -exec zcat {} +").splitlines()]
        sessions = {line["id"]: line["port"] for line in lines if line["kind"] == "session"}
        self.assertEqual(sorted(sessions.values()), ports)
        numbers = [(line["export_state"], line["export_number"]) for line in lines if line["kind"] == "coverage"]
        self.assertEqual(len(names), len(numbers))
        self.assertEqual(sorted(number for _, number in set(numbers)), list(range(1, len(set(numbers)) + 1)))
        # A number is there twice only if the agent was killed after its last line and before its state advanced.
        self.assertEqual(len(numbers) - len(set(numbers)), [when for _, when in steps].count("state"))
        left = self.machine.must("cd $ROOT/var/lib/eic-agent-fleet/spool && find . -type f")
        self.assertEqual(left, "./names")

    def is_agent(self, run, at):
        """Whether the call `at` of an execution that finds nothing to clear up is the export of the agent."""
        run(0, "never")
        run(at, "before")
        return self.machine.must("cat $ROOT/run/killed $ROOT/run/call").split() == ["eic-agent", "sessions", str(at)]


if __name__ == "__main__":
    test_rollout.unittest.main()
