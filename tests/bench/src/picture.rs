//! A picture of one login that shows how long each part takes.

use std::fmt::Write as _;

use crate::trace::{AgentRun, LATENCY, Traced};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 24.0;
/// The x position at which the bars of a run begin. The labels are to the left.
const RUN_LEFT: f64 = 330.0;
const ROW: f64 = 26.0;

const AGENT: &str = "#c2410c";
const SERVICE: &str = "#2563eb";
const REST: [&str; 5] = ["#94a3b8", "#64748b", "#cbd5e1", "#475569", "#a8b3c2"];

struct Bar<'b> {
    what: &'b str,
    from: f64,
    to: f64,
    colour: &'b str,
}

/// Draws the picture. `untraced` is the median of the same login in milliseconds, without strace and without delay.
pub(crate) fn draw(login: &Traced, untraced: f64, cores: usize) -> String {
    let [first, second] = &login.runs;
    let bars = [
        bar("ssh starts and connects", 0.0, login.accepted, REST[0]),
        bar("sshd starts for the connection; key exchange", login.accepted, first.started, REST[1]),
        bar("eic-agent, first run: for the offered key", first.started, first.ended, AGENT),
        bar("ssh signs, sshd verifies", first.ended, second.started, REST[2]),
        bar("eic-agent, second run: for the signature", second.started, second.ended, AGENT),
        bar("sshd starts the session", second.ended, login.shell, REST[3]),
        bar("the command and the end of the session", login.shell, login.ended, REST[4]),
    ];
    let mut drawn = String::new();
    text(&mut drawn, LEFT, 36.0, 20, "start", "bold", "One SSH login with a pushed key: where the time goes");
    let told = format!(
        "Each answer of the metadata service takes {LATENCY} ms, and it closes every connection. {cores} cores. Under strace: {:.0} ms, the median of {};",
        login.ended, login.among
    );
    text(&mut drawn, LEFT, 60.0, 13, "start", "normal", &told);
    let told = format!(
        "without strace and without that delay, the median login of the same run takes {untraced:.0} ms."
    );
    text(&mut drawn, LEFT, 78.0, 13, "start", "normal", &told);

    let scale = (WIDTH - 2.0 * LEFT) / login.ended;
    for bar in &bars {
        rectangle(&mut drawn, LEFT + bar.from * scale, 96.0, (bar.to - bar.from) * scale, 40.0, bar.colour);
    }
    let mut y = 162.0;
    for bar in &bars {
        rectangle(&mut drawn, LEFT, y - 11.0, 14.0, 14.0, bar.colour);
        text(&mut drawn, LEFT + 24.0, y, 14, "start", "normal", bar.what);
        text(&mut drawn, 480.0, y, 14, "end", "normal", &format!("{:.1} ms", bar.to - bar.from));
        let share = format!("{:.0} %", 100.0 * (bar.to - bar.from) / login.ended);
        text(&mut drawn, 550.0, y, 14, "end", "normal", &share);
        y += 22.0;
    }
    let height = draw_run(&mut drawn, second, y + 34.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
         height=\"{height:.0}\" font-family=\"system-ui, 'DejaVu Sans', Arial, sans-serif\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{drawn}</svg>\n"
    )
}

/// Draws the second run, with a row for each step. Returns the y position below the drawing.
fn draw_run(drawn: &mut String, run: &AgentRun, top: f64) -> f64 {
    let length = run.ended - run.started;
    let title = format!("The second run of eic-agent: {length:.1} ms, {} requests", run.requests.len());
    text(drawn, LEFT, top, 17, "start", "bold", &title);
    let since = |at: f64| at - run.started;
    let mut bars = vec![bar("start, until the first connection", 0.0, since(run.first_request()), AGENT)];
    for request in &run.requests {
        bars.push(bar(&request.what, since(request.from), since(request.to), SERVICE));
    }
    bars.push(bar(
        "verifies signer, staples, key; logs",
        since(run.last_answer()),
        since(run.written),
        AGENT,
    ));
    bars.push(bar("prints the keys and ends", since(run.written), length, AGENT));

    let room = WIDTH - RUN_LEFT - LEFT - 60.0;
    let scale = room / length;
    let (first_row, rows) = (top + 18.0, bars.len() as f64);
    let step = if length > 40.0 {
        10.0
    } else if length > 12.0 {
        2.0
    } else {
        1.0
    };
    let mut tick = 0.0;
    while tick <= length {
        let x = RUN_LEFT + tick * scale;
        let bottom = first_row + rows * ROW + 4.0;
        let _ = writeln!(
            drawn,
            "<line x1=\"{x:.1}\" y1=\"{first_row:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"#e2e8f0\"/>"
        );
        text(drawn, x, bottom + 16.0, 12, "middle", "normal", &format!("{tick:.0}"));
        tick += step;
    }
    for (row, bar) in bars.iter().enumerate() {
        let y = first_row + row as f64 * ROW;
        text(drawn, RUN_LEFT - 10.0, y + 17.0, 13, "end", "normal", &short(bar.what));
        let width = ((bar.to - bar.from) * scale).max(1.5);
        rectangle(drawn, RUN_LEFT + bar.from * scale, y + 4.0, width, ROW - 8.0, bar.colour);
        let end = RUN_LEFT + bar.from * scale + width;
        text(drawn, end + 6.0, y + 17.0, 12, "start", "normal", &format!("{:.1} ms", bar.to - bar.from));
    }
    let below = first_row + rows * ROW + 40.0;
    let key = "Milliseconds since the start of the run. Blue: a request, from its connection to the last byte of its answer. \
               Between the rounds of requests, the agent computes.";
    text(drawn, LEFT, below, 12, "start", "normal", key);
    below + 20.0
}

const fn bar<'b>(what: &'b str, from: f64, to: f64, colour: &'b str) -> Bar<'b> {
    Bar { what, from, to, colour }
}

/// The most characters of a label. The names of staples are longer and are cut.
const LETTERS: usize = 36;

fn short(what: &str) -> String {
    let what = what.trim_start_matches("meta-data/").trim_start_matches("managed-ssh-keys/");
    if what.chars().count() <= LETTERS {
        return what.to_owned();
    }
    what.chars().take(LETTERS - 1).chain(['…']).collect()
}

fn rectangle(drawn: &mut String, x: f64, y: f64, width: f64, height: f64, colour: &str) {
    let _ = writeln!(
        drawn,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
    );
}

fn text(drawn: &mut String, x: f64, y: f64, size: u32, anchor: &str, weight: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        drawn,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" font-weight=\"{weight}\" \
         fill=\"#0f172a\">{words}</text>"
    );
}
