//! `kamap status`: what is attached, and how it is doing.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use kamap::json::rfc3339;
use kamap::{Clock, Losses, Pinned, Seen, Status, leftovers};
use serde::Serialize;

use crate::args::DirArgs;
use crate::policy::errors::one_line;
use crate::policy::stdout;
use crate::render::{VERSION, duration, losses};

/// Show what is attached, since when, what it has seen and lost, and what it costs
///
/// The exit status is 1 if nothing is attached or something of it is missing; standard error then says
/// what.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    dir: DirArgs,

    /// Print JSON: one object
    #[arg(long)]
    json: bool,
}

/// Prints it.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let dir = args.dir.path();
    let pinned = match Pinned::open(dir) {
        Ok(pinned) => pinned,
        Err(err) => {
            let left = leftovers(dir);
            return Err(match left.is_empty() {
                true => err.into(),
                false => anyhow!("{err} ({})", of_leftovers(&left)),
            });
        }
    };
    let status = pinned.status()?;
    let clock = pinned.reader()?.clock();
    let left = leftovers(dir);
    let text = match args.json {
        true => serde_json::to_string(&StatusLine::new(&pinned, &status, &left, clock))?,
        false => text(&pinned, &status, &left, clock),
    };
    stdout::line(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What a killed `kamap attach` has left.
fn of_leftovers(left: &[PathBuf]) -> String {
    let names = left.iter().map(|path| format!("`{}`", path.display()));
    let names: Vec<_> = names.collect();
    format!(
        "{} left of a killed `kamap attach`; the next `kamap attach` or `kamap detach` there removes it",
        names.join(", ")
    )
}

fn text(pinned: &Pinned, status: &Status, left: &[PathBuf], clock: Clock) -> String {
    let known = &status.description;
    let since = rfc3339(clock.system_time(known.attached_at));
    let age = Clock::since_boot().saturating_sub(known.attached_at);
    let mut text = format!(
        "attached  in {} since {since} ({})\nversion   {}\ntable     {} of {} rows\n",
        pinned.dir().display(),
        duration(age),
        one_line(&known.version),
        status.live,
        known.max_entries,
    );
    let kinds: Vec<_> = known.events.names().collect();
    if kinds.is_empty() {
        text += "events    none\n";
    } else {
        let reader = match &status.ring_reader {
            Some((pid, command)) => format!("read by {pid} ({})", one_line(command)),
            None => "nobody reads them".to_owned(),
        };
        let _ = writeln!(
            text,
            "events    {}; ring of {} bytes; {reader}",
            kinds.join(","),
            known.ring_size
        );
    }
    let Seen {
        fork, exec, exit, ..
    } = status.seen;
    let _ = writeln!(text, "seen      {fork} forks, {exec} execs, {exit} exited");
    let _ = write!(text, "lost      {}", losses(&status.losses, 0));
    if let Some(memory) = status.memory {
        let _ = write!(text, "\nmemory    {} KiB", memory >> 10);
    }
    if !left.is_empty() {
        let _ = write!(text, "\nleft      {}", one_line(&of_leftovers(left)));
    }
    for program in &status.programs {
        let _ = match program.time.as_nanos().checked_div(program.runs.into()) {
            Some(each) => write!(
                text,
                "\ncost      {} {each} ns, {} times",
                one_line(&program.name),
                program.runs
            ),
            None => write!(
                text,
                "\ncost      {} not counted (kernel.bpf_stats_enabled is 0)",
                one_line(&program.name)
            ),
        };
    }
    text
}

#[derive(Serialize)]
struct StatusLine<'a> {
    v: u32,
    r#type: &'static str,
    dir: String,
    version: &'a str,
    boot_id: &'a str,
    attached_time: String,
    attached_boottime_ns: u64,
    max_entries: u32,
    live: usize,
    events: Vec<&'static str>,
    ring_size: u32,
    max_args: u32,
    ancestors: u32,
    reader: Option<ReaderObject<'a>>,
    programs: Vec<ProgramObject<'a>>,
    memory: Option<u64>,
    leftovers: Vec<Cow<'a, str>>,
    losses: Losses,
    seen: Seen,
}

#[derive(Serialize)]
struct ReaderObject<'a> {
    pid: u32,
    command: &'a str,
}

#[derive(Serialize)]
struct ProgramObject<'a> {
    name: &'a str,
    runs: u64,
    run_time_ns: u64,
}

impl<'a> StatusLine<'a> {
    fn new(pinned: &Pinned, status: &'a Status, left: &'a [PathBuf], clock: Clock) -> Self {
        let known = &status.description;
        Self {
            v: VERSION,
            r#type: "status",
            dir: pinned.dir().to_string_lossy().into_owned(),
            version: &known.version,
            boot_id: &known.boot_id,
            attached_time: rfc3339(clock.system_time(known.attached_at)),
            attached_boottime_ns: known.attached_at.as_nanos() as u64,
            max_entries: known.max_entries,
            live: status.live,
            events: known.events.names().collect(),
            ring_size: known.ring_size,
            max_args: known.max_args,
            ancestors: known.ancestors,
            reader: status
                .ring_reader
                .as_ref()
                .map(|(pid, command)| ReaderObject { pid: *pid, command }),
            programs: status
                .programs
                .iter()
                .map(|program| ProgramObject {
                    name: &program.name,
                    runs: program.runs,
                    run_time_ns: program.time.as_nanos() as u64,
                })
                .collect(),
            memory: status.memory,
            leftovers: left.iter().map(|path| path.to_string_lossy()).collect(),
            losses: status.losses,
            seen: status.seen,
        }
    }
}
