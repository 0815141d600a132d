//! The parts of one login. sshd and its children run under strace, which records the start and the duration of a few
//! system calls. The result is the login with the median duration of several.

use std::collections::HashMap;
use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::logins::{PUSHED, log_in, settings};
use crate::measure::Pushed;
use crate::service::Metadata;
use crate::world::{Key, World, run};

/// The delay of each metadata response in the traced login, in milliseconds.
pub(crate) const LATENCY: u64 = 1;

/// The number of logins, and the pause between them.
const LOGINS: usize = 7;
const SETTLED: Duration = Duration::from_millis(200);

/// The recorded system calls. The kernel stops a process only for these (`--seccomp-bpf`).
const CALLS: &str = "execve,exit_group,accept,accept4,connect,sendto,sendmsg,recvfrom,write,writev,read";

/// A login. All times are milliseconds since the client started.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) accepted: f64,
    pub(crate) runs: [AgentRun; 2],
    pub(crate) shell: f64,
    pub(crate) ended: f64,
    /// The number of logins of which this is the median.
    pub(crate) among: usize,
}

/// One run of the agent during the login.
#[derive(Debug)]
pub(crate) struct AgentRun {
    pub(crate) started: f64,
    pub(crate) requests: Vec<Request>,
    /// When the agent wrote the keys for sshd.
    pub(crate) written: f64,
    pub(crate) ended: f64,
}

/// One request, up to the last byte of the answer. It starts with the connection, or with its first byte if the
/// connection was already open.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) what: String,
    pub(crate) from: f64,
    pub(crate) to: f64,
}

/// One system call. Times are seconds of the machine's clock.
struct Call {
    pid: u32,
    from: f64,
    to: f64,
    /// `name(arguments) = result`
    text: String,
}

pub(crate) fn one_login(world: &World, pushed: &Pushed) -> Traced {
    let metadata = Metadata::start(world, false, pushed.line());
    metadata.answer_after(LATENCY);
    let file = world.path("etc/trace");
    let host = Key::ed25519(world, "traced-host");
    let config = world.path("etc/traced_config");
    let text = format!(
        "ListenAddress 127.0.0.1:22\nHostKey {}\nPidFile none\nUsePAM no\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n{}",
        host.file().display(),
        settings(world)
    );
    fs::write(&config, text).expect("sshd's configuration");
    let mut strace = Command::new("strace");
    strace.args(["-f", "--seccomp-bpf", "-ttt", "-T", "-s", "96", "-e", &format!("trace={CALLS}"), "-o"]);
    strace.arg(&file).args(["/usr/sbin/sshd", "-D", "-f"]).arg(&config).stdin(Stdio::null());
    let mut strace = Strace(strace.spawn().expect("strace is missing: run tests/setup bench"));
    let started = Instant::now();
    while TcpStream::connect("127.0.0.1:22").is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "sshd did not start to listen under strace");
        sleep(Duration::from_millis(5));
    }
    for _ in 0..2 {
        assert!(log_in(PUSHED, &pushed.key, 0).1, "a login under strace");
    }
    let mut logins: Vec<_> = (0..LOGINS)
        .map(|_| {
            // The work of the previous login has then ended.
            sleep(SETTLED);
            let began = now();
            assert!(log_in(PUSHED, &pushed.key, 0).1, "a login under strace");
            (began, now())
        })
        .collect();
    sleep(SETTLED);
    strace.stop();
    logins.sort_by(|one, other| (one.1 - one.0).total_cmp(&(other.1 - other.0)));
    let (began, ended) = logins[LOGINS / 2];
    let trace = fs::read_to_string(&file).expect("the trace of strace");
    let calls: Vec<_> =
        calls(&trace).into_iter().filter(|call| (began..ended).contains(&call.from)).collect();
    let agent = world.agent();
    assemble(&calls, &agent.display().to_string(), began, ended)
        .unwrap_or_else(|missing| panic!("the trace of a login has no {missing}: {}", file.display()))
}

/// sshd under strace. Dropping the value ends both.
struct Strace(Child);

impl Strace {
    fn stop(&mut self) {
        // strace ends when its last traced process ends. sshd is its only child.
        let children = format!("/proc/{0}/task/{0}/children", self.0.id());
        for child in fs::read_to_string(children).unwrap_or_default().split_whitespace() {
            run("kill", &[child]);
        }
        let _ = self.0.wait();
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn now() -> f64 {
    UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64())
}

/// Parses the output of strace: `PID SECONDS name(arguments) = result <SECONDS>`. A call that waits takes two lines,
/// `… <unfinished ...>` and `<... name resumed>…`.
fn calls(trace: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut unfinished: HashMap<u32, (f64, String)> = HashMap::new();
    for line in trace.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let Some((at, text)) = rest.trim_start().split_once(' ') else { continue };
        let (Ok(pid), Ok(at)) = (pid.parse::<u32>(), at.parse::<f64>()) else { continue };
        if let Some(begun) = text.strip_suffix(" <unfinished ...>") {
            unfinished.insert(pid, (at, begun.to_owned()));
            continue;
        }
        let (from, text) = match text.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, end)) => match unfinished.remove(&pid) {
                Some((from, begun)) => (from, format!("{begun}{end}")),
                None => continue,
            },
            None => (at, text.to_owned()),
        };
        let took = text.rsplit_once('<').and_then(|(_, took)| took.strip_suffix('>')?.parse::<f64>().ok());
        calls.push(Call { pid, from, to: from + took.unwrap_or_default(), text });
    }
    calls.sort_by(|one, other| one.from.total_cmp(&other.from));
    calls
}

fn assemble(calls: &[Call], agent: &str, began: f64, ended: f64) -> Result<Traced, &'static str> {
    let since = |at: f64| (at - began) * 1e3;
    let accepted = calls.iter().find(|call| call.text.starts_with("accept")).ok_or("accepted connection")?;
    let exec = format!("execve(\"{agent}\"");
    let mut runs = calls.iter().filter(|call| call.text.starts_with(&exec)).map(|start| {
        let over = calls.iter().find(|call| {
            call.pid == start.pid && call.from > start.from && call.text.starts_with("exit_group(")
        });
        let over = over.ok_or("end of the agent")?;
        agent_run(calls, start.from, over.from, &since)
    });
    let first = runs.next().ok_or("first run of the agent")??;
    let second = runs.next().ok_or("second run of the agent")??;
    let shell = calls.iter().rfind(|call| call.text.starts_with("execve(\"/bin/sh\"")).ok_or("shell")?;
    Ok(Traced {
        accepted: since(accepted.to),
        runs: [first, second],
        shell: since(shell.from),
        ended: since(ended),
        among: LOGINS,
    })
}

/// The requests of a run. During the run, only the agent uses the metadata service.
fn agent_run(
    calls: &[Call],
    from: f64,
    to: f64,
    since: &impl Fn(f64) -> f64,
) -> Result<AgentRun, &'static str> {
    let mut requests: Vec<Request> = Vec::new();
    let mut open: HashMap<&str, usize> = HashMap::new();
    let mut written = None;
    for call in calls.iter().filter(|call| (from..to).contains(&call.from)) {
        let Some((name, arguments)) = call.text.split_once('(') else { continue };
        let descriptor = arguments.split([',', ')']).next().unwrap_or_default();
        let begin = |requests: &mut Vec<Request>| {
            requests.push(Request { what: String::new(), from: since(call.from), to: since(call.to) });
            requests.len() - 1
        };
        let result = call.text.rsplit_once(" = ").map_or("", |(_, result)| result);
        match name {
            "connect" if arguments.contains("169.254.169.254") => {
                open.insert(descriptor, begin(&mut requests));
            }
            "sendto" | "sendmsg" | "write" | "writev" => {
                if descriptor == "1" && name.starts_with("write") {
                    written = Some(since(call.from));
                }
                let Some(mut position) = open.get(descriptor).copied() else { continue };
                let Some(path) = arguments.split('"').nth(1).and_then(|head| head.split(' ').nth(1)) else {
                    continue;
                };
                if !requests[position].what.is_empty() {
                    position = begin(&mut requests);
                    open.insert(descriptor, position);
                }
                path.trim_start_matches("/latest/").clone_into(&mut requests[position].what);
            }
            "recvfrom" | "read" if !result.starts_with(['-', '0', '?']) => {
                if let Some(position) = open.get(descriptor) {
                    requests[*position].to = since(call.to);
                }
            }
            _ => {}
        }
    }
    requests.retain(|request| !request.what.is_empty());
    if requests.is_empty() {
        return Err("request of the agent");
    }
    Ok(AgentRun {
        started: since(from),
        requests,
        written: written.ok_or("key that the agent wrote")?,
        ended: since(to),
    })
}

impl AgentRun {
    pub(crate) fn first_request(&self) -> f64 {
        self.requests.iter().map(|request| request.from).fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn last_answer(&self) -> f64 {
        self.requests.iter().map(|request| request.to).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
10 100.000000 accept(3, {sa_family=AF_INET, sin_port=htons(40000), sin_addr=inet_addr(\"127.0.0.1\")}, [16]) = 4 <0.001000>
20 100.010000 execve(\"/mnt/bin/eic-agent\", [\"/mnt/bin/eic-agent\"], 0x0 /* 2 vars */) = 0 <0.000200>
21 100.012000 connect(9, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"169.254.169.254\")}, 16) = -1 EINPROGRESS (Operation now in progress) <0.000010>
21 100.012100 sendto(9, \"PUT /latest/api/token HTTP/1.1\\r\\n\", 90, MSG_NOSIGNAL, NULL, 0) = 90 <0.000010>
21 100.012200 recvfrom(9,  <unfinished ...>
10 100.012300 read(5, \"x\", 1) = 1 <0.000001>
21 100.013200 <... recvfrom resumed>\"HTTP/1.1 200 OK\\r\\n\", 4096, 0, NULL, NULL) = 200 <0.001000>
21 100.013300 writev(9, [{iov_base=\"GET /latest/meta-data/instance-id/ HTTP/1.1\\r\\n\", iov_len=50}], 1) = 50 <0.000010>
21 100.014300 recvfrom(9, \"HTTP/1.1 200 OK\\r\\n\", 4096, 0, NULL, NULL) = 99 <0.000010>
20 100.015000 write(1, \"ssh-ed25519 AAAA\\n\", 17) = 17 <0.000010>
20 100.016000 exit_group(0) = ?
30 100.020000 execve(\"/mnt/bin/eic-agent\", [\"/mnt/bin/eic-agent\"], 0x0 /* 2 vars */) = 0 <0.000200>
31 100.021000 connect(9, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"169.254.169.254\")}, 16) = 0 <0.000010>
31 100.021100 write(9, \"PUT /latest/api/token HTTP/1.1\\r\\n\", 90) = 90 <0.000010>
31 100.021200 read(9, \"HTTP/1.1 200 OK\\r\\n\", 4096) = 99 <0.000010>
30 100.022000 write(1, \"ssh-ed25519 AAAA\\n\", 17) = 17 <0.000010>
30 100.023000 exit_group(0) = ?
40 100.030000 execve(\"/bin/sh\", [\"sh\", \"-c\", \"true\"], 0x0 /* 9 vars */) = 0 <0.000200>
";

    #[test]
    fn login_is_split_into_its_parts() {
        let traced = assemble(&calls(TRACE), "/mnt/bin/eic-agent", 99.99, 100.04).unwrap();
        let near =
            |value: f64, expected: f64| assert!((value - expected).abs() < 0.002, "{value} {expected}");
        near(traced.accepted, 11.0);
        near(traced.shell, 40.0);
        near(traced.ended, 50.0);
        let [first, second] = &traced.runs;
        let what = |run: &AgentRun| run.requests.iter().map(|one| one.what.clone()).collect::<Vec<_>>();
        assert_eq!(what(first), ["api/token", "meta-data/instance-id/"]);
        assert_eq!(what(second), ["api/token"]);
        near(first.requests[0].from, 22.0);
        near(first.requests[0].to, 23.2);
        near(first.requests[1].from, 23.3);
        near(first.last_answer(), 24.31);
        near(first.written, 25.0);
        near(second.ended, 33.0);
    }

    #[test]
    fn incomplete_trace_names_the_missing_part() {
        let without = TRACE.replace("/bin/sh", "/bin/other");
        assert_eq!(assemble(&calls(&without), "/mnt/bin/eic-agent", 99.99, 100.04).unwrap_err(), "shell");
    }
}
