//! The program `eic-emulator`: `serve`, `run` and `open-tunnel`.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use eic_emulator::directory::TempDir;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_eic-emulator");

/// `eic-emulator serve`, and the line that it has printed. Killed when dropped.
struct Serving(Child, Value);

impl Serving {
    /// `port` is where the instance serves port 22.
    fn start(directory: &Path, port: u16) -> Self {
        Self::with(directory, port, &[])
    }

    fn with(directory: &Path, port: u16, options: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--instance-port", &format!("22={port}"), "--zone", "eu-west-1b", "--state"])
            .arg(directory)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self(child, serde_json::from_str(&line).unwrap())
    }

    fn terminate(&mut self) {
        assert!(Command::new("kill").arg(self.0.id().to_string()).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `eic-emulator run` as a user with settings of their own.
fn run(arguments: &[&str]) -> Output {
    let own =
        [("AWS_PROFILE", "own"), ("AWS_SESSION_TOKEN", "own"), ("http_proxy", "own"), ("NO_PROXY", "*")];
    Command::new(PROGRAM).arg("run").args(arguments).envs(own).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The variables that a command of `run` gets.
fn environment(arguments: &[&str]) -> Vec<(String, String)> {
    let said = run(&[arguments, &["--", "env"]].concat());
    assert!(said.status.success(), "{said:?}");
    let variables = text(&said.stdout);
    variables.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
}

#[test]
fn path_that_is_not_text_is_an_error() {
    let directory = TempDir::new("eic-emulator-program").unwrap();
    let odd = directory.path().join(OsStr::from_bytes(b"\xff"));
    std::fs::create_dir(&odd).unwrap();
    let credentials = odd.join("credentials");
    std::fs::write(&credentials, "[a]\naws_access_key_id = AKIA1\naws_secret_access_key = s3cr3t\n").unwrap();
    let state = directory.path().join("state");
    for (arguments, path) in [
        (vec![OsStr::new("serve"), OsStr::new("--state"), odd.as_os_str()], "ca.pem"),
        (
            vec![
                OsStr::new("serve"),
                OsStr::new("--state"),
                state.as_os_str(),
                OsStr::new("--credentials"),
                credentials.as_os_str(),
            ],
            "credentials",
        ),
        (
            vec![
                OsStr::new("run"),
                OsStr::new("--credentials"),
                credentials.as_os_str(),
                OsStr::new("--"),
                OsStr::new("true"),
            ],
            "credentials",
        ),
    ] {
        let said = Command::new(PROGRAM).args(&arguments).output().unwrap();
        let error = text(&said.stderr);
        assert_eq!(said.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.ends_with(&format!("/{path}: the path is not UTF-8\n")), "{arguments:?}: {error}");
        assert!(said.stdout.is_empty() && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn command_gets_the_environment_of_the_running_emulator() {
    let directory = TempDir::new("eic-emulator-program").unwrap();
    let path = directory.path().to_str().unwrap();
    let mut serving = Serving::start(directory.path(), 2222);
    let line = serving.1.clone();
    let file = std::fs::read(directory.path().join("emulator.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&file).unwrap(), line);
    let environment = environment(&["--attach", path, "--as", "bob"]);
    let value = |name: &str| environment.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    for (name, key) in [
        ("AWS_ENDPOINT_URL_EC2", "api"),
        ("AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT", "api"),
        ("AWS_ENDPOINT_URL_CLOUDTRAIL", "api"),
        ("HTTPS_PROXY", "proxy"),
        ("SSL_CERT_FILE", "ca_file"),
        ("AWS_SECRET_ACCESS_KEY", "secret_key"),
        ("AWS_REGION", "region"),
        ("AWS_DEFAULT_REGION", "region"),
    ] {
        assert_eq!(value(name), line[key].as_str(), "{name}");
        assert!(value(name).is_some_and(|value| !value.is_empty()), "{name}");
    }
    assert_eq!(value("AWS_ACCESS_KEY_ID"), Some("AKIAEXAMPLEBOB"));
    for name in ["AWS_PROFILE", "AWS_SESSION_TOKEN", "http_proxy", "NO_PROXY"] {
        assert_eq!(value(name), None, "{name}");
    }
    assert_eq!((&line["region"], &line["instance_id"]), (&"eu-west-1".into(), &"i-0123456789abcdef0".into()));
    assert!(line["endpoint"].as_str().unwrap().ends_with(".eu-west-1.test"));

    serving.terminate();
    let said = run(&["--attach", path, "--", "true"]);
    assert!(!said.status.success() && text(&said.stderr).contains("eic-emulator serve --state"), "{said:?}");
    std::fs::write(directory.path().join("emulator.json"), file).unwrap();
    let said = run(&["--attach", path, "--", "true"]);
    assert!(!said.status.success() && text(&said.stderr).contains("does not run any more"), "{said:?}");
}

const CREDENTIALS: &str = "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = s3cr3t-1\n\
    [alice]\naws_access_key_id = ASIAALICE\naws_secret_access_key = s3cr3t-2\naws_session_token = s3cr3t-3\n\
    eic_policies = push.json\n";

/// A folder with a credentials file and its policy.
fn credentials(directory: &Path) -> String {
    let allow = r#"{"Statement": {"Effect": "Allow", "Action": "ec2-instance-connect:SendSSHPublicKey", "Resource": "*"}}"#;
    std::fs::write(directory.join("push.json"), allow).unwrap();
    let file = directory.join("credentials");
    std::fs::write(&file, CREDENTIALS).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn principals_of_a_credentials_file_are_those_of_its_sections() {
    let directory = TempDir::new("eic-emulator-program").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = credentials(directory.path());
    let path = directory.path().to_str().unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = Serving::with(directory.path(), port, &["--credentials", &file]);
    let written = text(&std::fs::read(directory.path().join("emulator.json")).unwrap());
    assert!(!written.contains("s3cr3t") && !written.contains("secret_key"), "{written}");
    assert_eq!(serving.1["credentials_file"].as_str(), Some(file.as_str()));
    for (user, expected) in [
        (&[][..], ["AKIADEFAULT", "s3cr3t-1", ""]),
        (&["--as", "alice"], ["ASIAALICE", "s3cr3t-2", "s3cr3t-3"]),
    ] {
        let environment = environment(&[&["--attach", path], user].concat());
        let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
        let value = |name| environment.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value);
        assert_eq!(names.map(value), expected);
    }
    let said = run(&["--attach", path, "--as", "eve", "--", "true"]);
    assert!(text(&said.stderr).contains("has no section [eve], but default, alice"), "{said:?}");

    // The tunnel of a principal, and its refusal.
    std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"hello").unwrap());
    let opened = open_tunnel(directory.path(), &[], b"");
    assert!(opened.status.success() && opened.stdout == b"hello", "{opened:?}");
    let refused = open_tunnel(directory.path(), &["--as", "alice"], b"");
    let said = text(&refused.stderr);
    assert!(said.contains("AccessDenied") && said.contains("arn:aws:iam::123456789012:user/alice"), "{said}");
    // Without `--attach`, the file is that of the command's own emulator.
    let own = environment(&["--credentials", &file, "--as", "alice"]);
    assert!(own.contains(&("AWS_ACCESS_KEY_ID".to_owned(), "ASIAALICE".to_owned())), "{own:?}");
}

#[test]
fn wrong_option_or_file_is_named_at_the_start() {
    let directory = TempDir::new("eic-emulator-program").unwrap();
    let credentials = credentials(directory.path());
    let policy = directory.path().join("push.json");
    let policy = policy.to_str().unwrap();
    let start = |options: &[&str]| run(&[options, &["--", "true"]].concat());
    assert!(start(&["--policy", policy, "--policy", policy, "--credentials", &credentials]).status.success());
    let allow = std::fs::read_to_string(policy).unwrap();
    std::fs::write(policy, allow.replace("Resource", "Resources")).unwrap();
    for options in [&["--policy", policy][..], &["--credentials", &credentials]] {
        let said = start(options);
        let complaint = text(&said.stderr);
        assert_eq!(said.status.code(), Some(1), "{complaint}");
        assert!(complaint.contains("push.json: Statement[0].Resources: "), "{complaint}");
        assert!(!complaint.contains("s3cr3t"), "{complaint}");
    }
    for option in ["--tag", "--endpoint-tag"] {
        let said = start(&[option, "team=red", option, "Team=blue"]);
        let complaint = text(&said.stderr);
        assert_eq!(said.status.code(), Some(1), "{complaint}");
        assert!(complaint.ends_with(&format!("{option}: the key Team occurs twice\n")), "{complaint}");
    }
    for options in [
        &["--tag", "a"][..],
        &["--tag", "=a"],
        &["--account", "1"],
        &["--instance-state", "asleep"],
        &["--source-ip", "here"],
        &["--credentials", "a", "--caller", "a=b"],
    ] {
        assert_eq!(start(options).status.code(), Some(2), "{options:?}");
    }
}

#[test]
fn command_without_a_running_emulator_gets_its_own() {
    let of = |script: &str| run(&["--", "sh", "-c", script]);
    assert_eq!(of("exit 7").status.code(), Some(7));
    assert_eq!(of("kill -KILL $$").status.code(), Some(137));
    assert!(of("test -s \"$SSL_CERT_FILE\"").status.success());
    let file = text(&of("echo \"$SSL_CERT_FILE\"").stdout);
    assert!(!file.is_empty() && !Path::new(file.trim_end()).exists(), "{file} is removed at the end");
    let said = run(&["--", "/nonexistent/command"]);
    assert!(!said.status.success() && text(&said.stderr).contains("/nonexistent/command: "), "{said:?}");
    for arguments in [&["--"][..], &["true"], &["--attach", "x", "--zone", "us-east-1b", "--", "true"]] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let wrong = run(&["--instance-port", "80=22", "--", "true"]);
    assert!(text(&wrong.stderr).contains("expected 22=REAL or 3389=REAL"), "{wrong:?}");
}

#[test]
fn end_of_run_ends_its_command() {
    let mut child = Command::new(PROGRAM)
        .args(["run", "--", "sh", "-c", "echo ready; exec sleep 1000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    let start = Instant::now();
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    // The command has closed its output.
    assert_eq!(output.read_line(&mut String::new()).unwrap(), 0);
    assert!(start.elapsed() < Duration::from_secs(60));
}

/// `eic-emulator open-tunnel` with this input.
fn open_tunnel(directory: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(["open-tunnel", "--attach"])
        .arg(directory)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The input stays open until the program ends. An error means that the program does not read it.
    let mut stdin = child.stdin.take().unwrap();
    let bytes = input.to_vec();
    let writing = std::thread::spawn(move || {
        drop(stdin.write_all(&bytes));
        stdin
    });
    let output = child.wait_with_output().unwrap();
    drop(writing.join().unwrap());
    output
}

#[test]
fn tunnel_of_the_program_carries_every_byte() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = TempDir::new("eic-emulator-program").unwrap();
    let place = listener.local_addr().unwrap();
    let _serving = Serving::start(directory.path(), place.port());
    // The connection keeps the port when its listener is gone: no other test can get it.
    let kept = TcpStream::connect(place).unwrap();
    let _kept = (listener.accept().unwrap(), kept);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251).to_le_bytes()[0]).collect();
    let expected = bytes.clone();
    // The instance reads everything, then answers with everything, and ends.
    let instance = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = vec![0; expected.len()];
        stream.read_exact(&mut received).unwrap();
        stream.write_all(&received).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        drop(stream.read_to_end(&mut Vec::new()));
        received == expected
    });
    let output = open_tunnel(directory.path(), &[], &bytes);
    assert!(instance.join().unwrap());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stdout == bytes, "{} bytes came back", output.stdout.len());

    let refused = open_tunnel(directory.path(), &["--remote-port", "5432"], b"");
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("\"ErrorCode\":\"InvalidParameter\""), "{refused:?}");
    let refused = open_tunnel(directory.path(), &["--private-ip-address", "10.0.0.1"], b"");
    assert!(text(&refused.stderr).contains("PrivateIpAddress"), "{refused:?}");
    // Nothing listens there any more.
    let closed = open_tunnel(directory.path(), &[], b"");
    assert!(text(&closed.stderr).contains("Unable to connect to the instance"), "{closed:?}");
}
