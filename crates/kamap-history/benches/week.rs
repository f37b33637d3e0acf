//! A week of five million lives: how long it takes to write and to ask. Prints a line for each.
//!
//! `cargo bench -p kamap-history --bench week [LIVES]`

use std::error::Error;
use std::ops::ControlFlow;
use std::time::{Duration, Instant, SystemTime};

use kamap::{Clock, Event, EventKind, Exit, Item, Origin, Process, Snapshot};
use kamap_history::{GroupBy, History, Options, Recorder, Source};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Processes that live all the time.
const DAEMONS: u32 = 300;

const COMMANDS: [&str; 10] = [
    "cc1", "as", "ld", "sh", "sed", "grep", "make", "cat", "rm", "python3",
];

fn main() -> Result<(), Box<dyn Error>> {
    let lives: u32 = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(5_000_000);
    let dir = tempfile::tempdir()?;
    let now = SystemTime::now();
    let begin = Clock::since_boot();
    let clock = Clock::booted_at(now - WEEK - begin);
    write(dir.path(), clock, begin, lives)?;
    let size: u64 = std::fs::read_dir(dir.path())?
        .map(|file| Ok(file?.metadata()?.len()))
        .sum::<std::io::Result<u64>>()?;
    println!(
        "on disk: {} MB, {} bytes per life",
        size / 1_000_000,
        size / u64::from(lives)
    );

    let moment = |share: f64| clock.system_time(begin + WEEK.mul_f64(share));
    let minute = Duration::from_secs(60);
    for share in [0.01, 0.37, 0.5, 0.99] {
        measure(&format!("history of a minute, at {share}"), || {
            let mut count = 0;
            History::open(dir.path())?.lives(moment(share), moment(share) + minute, |_| {
                count += 1;
                Ok::<_, kamap_history::Error>(ControlFlow::Continue(()))
            })?;
            Ok(count)
        })?;
    }
    for share in [0.01, 0.37, 0.5, 0.99] {
        measure(&format!("table at {share}"), || {
            Ok(History::open(dir.path())?.at(moment(share))?.table.len())
        })?;
    }
    for share in [0.01, 0.5, 0.99] {
        measure(&format!("why, at {share}"), || {
            Ok(History::open(dir.path())?.why(20_000, moment(share))?.len())
        })?;
    }
    for by in [GroupBy::Command, GroupBy::Parent, GroupBy::Unit] {
        let day = Duration::from_secs(24 * 3600);
        measure(&format!("summary of a day by {by:?}"), || {
            let groups = History::open(dir.path())?.summary(moment(0.4), moment(0.4) + day, by)?;
            Ok(groups.len())
        })?;
    }
    Ok(())
}

/// The median of five runs.
fn measure(
    what: &str,
    mut run: impl FnMut() -> kamap_history::Result<usize>,
) -> kamap_history::Result<()> {
    let mut times = Vec::new();
    let mut found = 0;
    for _ in 0..5 {
        let begun = Instant::now();
        found = run()?;
        times.push(begun.elapsed());
    }
    times.sort();
    println!("{what}: {:.1?} ({found} found)", times[2]);
    Ok(())
}

/// Writes lives that begin one after the other, of a second each, whose parents are the daemons.
fn write(
    dir: &std::path::Path,
    clock: Clock,
    begin: Duration,
    lives: u32,
) -> kamap_history::Result<()> {
    let begun = Instant::now();
    let source = Source::new("01234567-89ab-cdef-0123-456789abcdef", clock, 1, 0);
    let mut recorder = Recorder::open(dir, Options::default(), &source)?;
    let daemons = (1..=DAEMONS).map(daemon).collect();
    recorder.resync(Snapshot::new(begin, daemons), 0, 0, true);
    let step = WEEK / lives;
    let mut seq = 0;
    let mut add = |recorder: &mut Recorder, time, process, kind| {
        recorder.add(Item::Event(Event::new(seq, time, process, kind)));
        seq += 1;
    };
    for number in 0..lives {
        let start = begin + step * number;
        let mut process = Process::new(1000 + number % 32_000, start).with_comm("sh");
        process.ppid = 1 + number % DAEMONS;
        process.parent_start_time = Some(Duration::from_secs(process.ppid.into()));
        process.origin = Origin::Fork;
        process.cgroup_id = u64::from(process.ppid);
        add(&mut recorder, start, process.clone(), EventKind::Fork);
        let command = COMMANDS[number as usize % COMMANDS.len()];
        let mut process = process
            .with_comm(command)
            .with_exe(format!("/usr/bin/{command}"))
            .with_file(format!("/usr/bin/{command}"))
            .with_args([command, "-O2", "some/file/of/the/source.c"]);
        (process.origin, process.execs) = (Origin::Exec, 1);
        process.last_exec_time = Some(start + Duration::from_micros(500));
        let exec = start + Duration::from_micros(500);
        add(&mut recorder, exec, process.clone(), EventKind::Exec);
        let mut exit = Exit::new(i32::from(number % 50 == 0) << 8);
        exit.cpu_time = Duration::from_micros(1000 + u64::from(number % 5000));
        exit.max_rss = 4096 * u64::from(500 + number % 1000);
        let end = start + step.mul_f64(0.9);
        add(&mut recorder, end, process, EventKind::Exit(exit));
        if number % 1000 == 0 {
            recorder.commit(clock)?;
        }
    }
    recorder.close()?;
    println!(
        "written: {:.1} us per life",
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(lives)
    );
    Ok(())
}

fn daemon(pid: u32) -> Process {
    let mut process = Process::new(pid, Duration::from_secs(pid.into()))
        .with_comm("daemon")
        .with_exe("/usr/sbin/daemon")
        .with_args(["/usr/sbin/daemon"]);
    if pid > 1 {
        (process.ppid, process.parent_start_time) = (1, Some(Duration::from_secs(1)));
    }
    process
}
