//! The lines are those of the contract, byte for byte.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, UNIX_EPOCH};

use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;
use serde_json::Value;

use super::*;
use crate::{
    Ancestor, Cause, Cgroup, Clock, Event, EventKind, Exit, Field, Kinds, Losses, Lost, Mismatch,
    Origin, Process, ProcessTree, Replaced, Seen, Snapshot, Suspect, TreeSummary, Verification,
};

/// One line for each case of the functions below. The contract is additive: a line here changes
/// only where a field is added.
const GOLDEN: &str = include_str!("golden.jsonl");

pub(super) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        // Miri is some hundred times slower.
        cases: if cfg!(miri) { 8 } else { cases },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Bytes, words, and what JSON escapes.
pub(super) fn any_name() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<[u8; 8]>().prop_map(|bytes| bytes.to_vec()),
        any::<char>().prop_map(|c| c.to_string().into_bytes()),
        Just(b"word \"\\ ".to_vec()),
        Just("日本".into()),
        Just(b"\x1b]0;owned\x07\n".to_vec()),
        Just("\u{202e}\u{9b}\u{2028}".into()),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// A row of each origin: with all there is, with bytes that are not UTF-8, and with nothing.
fn processes() -> [Process; 3] {
    let ms = Duration::from_millis;
    let mut rich = Process::new(4711, ms(61_001) + Duration::from_nanos(42))
        .with_comm(b"a\xffb\n")
        .with_exe(OsStr::from_bytes(b"\xe2\x80\xa6/usr/bin/\xfe (deleted)"))
        .with_file("./caf\u{e9}\u{1b}[31m")
        .with_args([OsStr::from_bytes(b"\xff"), "\"it's\"".as_ref(), "".as_ref()]);
    (rich.ppid, rich.parent_start_time) = (1, Some(Duration::from_nanos(7)));
    (rich.uid, rich.gid, rich.cgroup_id) = (1000, 100, u64::MAX);
    (rich.execs, rich.origin, rich.program_seen) = (3, Origin::Exec, true);
    (rich.exe_cut, rich.file_cut, rich.args_cut) = (true, true, true);
    (rich.pid_ns, rich.vpid) = (Some(4_026_531_836), Some(7));
    rich.last_exec_time = Some(ms(61_500));

    let mut forked = Process::new(4712, ms(62_000))
        .with_comm("日本 \\")
        .with_exe("/bin/sh")
        .with_file("")
        .with_args(["sh", "-c", "echo \"\t\u{7f}\u{2028}\""])
        .with_cgroup(Cgroup::new(OsStr::from_bytes(CGROUP)));
    (forked.ppid, forked.parent_start_time) = (4711, Some(rich.start_time));
    (forked.origin, forked.program_seen) = (Origin::Fork, true);

    let mut kthread = Process::new(2, Duration::ZERO).with_comm("kthreadd");
    kthread.kernel_thread = true;
    [rich, forked, kthread]
}

/// Of a container of a user's own, below which somebody has made another.
const CGROUP: &[u8] = b"/user.slice/user-7.slice/user@7.service/app.slice/\
    kubepods-podaaaaaaaa_bbbb_cccc_dddd_eeeeeeeeeeee.slice/\
    docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope/\xff\n";

/// One event of each kind, and exits of each sort.
fn events() -> Vec<Event> {
    let [rich, forked, _] = processes();
    let time = Duration::from_millis(64_000);
    let mut exited = Exit::new(3 << 8);
    (exited.cpu_time, exited.max_rss) = (Duration::from_nanos(1_234_567), 5 << 20);
    let core = 0x80;
    let exits = [
        0,
        libc::SIGKILL,
        libc::SIGSEGV | core,
        16,
        30,
        32,
        34,
        37,
        62,
        64,
    ];
    let kinds = [
        EventKind::Fork,
        EventKind::Exec,
        EventKind::ExecFailed(libc::ENOENT),
        EventKind::ExecFailed(libc::EWOULDBLOCK),
        EventKind::ExecFailed(4095),
        EventKind::Exit(exited),
    ];
    let kinds = kinds
        .into_iter()
        .chain(exits.map(|status| EventKind::Exit(Exit::new(status))));
    let events = kinds.zip(0..).map(|(kind, seq)| {
        let process = if seq % 2 == 0 { &forked } else { &rich };
        let mut event = Event::new(seq, time, process.clone(), kind);
        if seq < 3 {
            event.ancestors = vec![
                Ancestor::new(4711, rich.start_time, rich.comm_bytes()),
                Ancestor::new(1, Duration::from_nanos(7), "init"),
            ];
        }
        event
    });
    events.collect()
}

fn losses() -> Losses {
    let mut losses = Losses::default();
    (losses.table_full, losses.first_refused_pid) = (1, Some(77));
    (losses.ring_full, losses.missed_runs) = (2, 3);
    (losses.args_cut, losses.event_args_cut) = (4, 5);
    losses
}

fn seen() -> Seen {
    let mut seen = Seen::default();
    (seen.fork, seen.exec, seen.exit) = (10, 11, u64::MAX);
    seen
}

fn clock() -> Clock {
    Clock::booted_at(UNIX_EPOCH + Duration::new(1_600_000_000, 999_999_958))
}

fn verification() -> Verification {
    let suspect = |pid| Suspect::new(pid, Duration::from_millis(1500), b"x\xff");
    let mut found = Verification::default();
    (found.time, found.checked) = (Duration::from_secs(2), 99);
    found.missing = vec![suspect(7)];
    found.stale = vec![suspect(8), suspect(9)];
    found.mismatched = vec![Mismatch::new(
        suspect(10),
        vec![Field::new("exec_id", 1, 2)],
    )];
    found
}

/// A command, a child that failed, one that was killed, one that runs, and one whose end was lost.
fn tree() -> ProcessTree {
    let [rich, forked, _] = processes();
    let mut tree = ProcessTree::default();
    let mut put = |process: &Process, millis, kind| {
        let event = Event::new(0, Duration::from_millis(millis), process.clone(), kind);
        tree.add(&event).expect("it contradicts nothing");
    };
    let child = |pid, start: u64| {
        let mut child = forked.clone();
        (child.pid, child.start_time) = (pid, Duration::from_millis(start));
        child
    };
    let mut grandchild = child(5000, 63_500);
    (grandchild.ppid, grandchild.parent_start_time) = (4712, Some(forked.start_time));
    put(&rich, 61_001, EventKind::Fork);
    put(&rich, 61_500, EventKind::ExecFailed(libc::EACCES));
    put(&forked, 62_000, EventKind::Exec);
    put(&child(4713, 62_100), 62_100, EventKind::Fork);
    put(&child(4714, 62_200), 62_200, EventKind::Fork);
    put(&child(4715, 62_300), 62_300, EventKind::Fork);
    put(&grandchild, 63_500, EventKind::Exec);
    let mut failed = Exit::new(1 << 8);
    (failed.cpu_time, failed.max_rss) = (Duration::from_nanos(20_000_001), 1 << 20);
    put(&grandchild, 63_600, EventKind::Exit(failed));
    put(&forked, 63_700, EventKind::Exit(failed));
    put(
        &child(4713, 62_100),
        63_800,
        EventKind::Exit(Exit::new(libc::SIGSEGV | 0x80)),
    );
    put(&rich, 64_000, EventKind::Exit(Exit::new(0)));
    tree
}

/// Those of the tree that are alive at its end.
fn table_at_end() -> Snapshot {
    let mut alive = processes()[1].clone();
    (alive.pid, alive.start_time) = (4714, Duration::from_millis(62_200));
    Snapshot::new(Duration::from_millis(64_100), vec![alive])
}

fn line(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("it has text keys only")
}

/// `ci/count` counts the instructions.
#[inline(never)]
fn counted_json(json: &Lines, events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| line(&json.event(event)))
        .collect()
}

#[test]
fn a_thousand_events_are_a_line_each() {
    let count = if cfg!(miri) { 10 } else { 1000 };
    let events: Vec<_> = (0..count)
        .map(|seq| {
            let process = Process::new(4711, Duration::from_secs(60))
                .with_comm("cc1")
                .with_exe("/usr/lib/gcc/x86_64-linux-gnu/12/cc1")
                .with_file("/usr/lib/gcc/x86_64-linux-gnu/12/cc1")
                .with_args(["cc1", "-O2", "-Wall", "main.c", "-o", "main.s"])
                .with_cgroup(Cgroup::new("/user.slice/user-7.slice/session-3.scope"));
            Event::new(seq, Duration::from_secs(61), process, EventKind::Exec)
        })
        .collect();
    let lines = counted_json(&Lines::new(clock(), "b-o-o-t"), &events);
    assert_eq!(lines.len(), events.len());
    for (line, seq) in lines.iter().zip(0_u64..) {
        let line: Value = serde_json::from_str(line).expect("it is JSON");
        assert_eq!((&line["seq"], &line["comm"]), (&seq.into(), &"cc1".into()));
    }
}

fn lines() -> Vec<String> {
    let json = Lines::new(clock(), "b-o-o-t");
    let processes = processes();
    let table = || json.table(Duration::from_secs(64), &processes, losses(), seen());
    let mut lines = vec![line(&table()), line(&table().with_next_seq(17))];
    lines.extend(events().iter().map(|event| line(&json.event(event))));
    for lost in [
        Lost::new(Cause::RingFull, 5),
        Lost::new(Cause::TableFull, 1),
    ] {
        lines.push(line(&json.lost(lost)));
    }
    lines.push(line(&json.lost(Lost::new(Cause::MissedRuns, 3))));
    lines.push(line(&json.summary(losses(), seen())));
    let replaced = Replaced::new(18, Duration::from_secs(64), "0.1.0");
    lines.push(line(&json.replaced(&replaced)));
    let with_ancestors = json.clone().with_ancestors(true);
    lines.extend(
        events()
            .iter()
            .map(|event| line(&with_ancestors.event(event))),
    );
    for found in [verification(), Verification::default()] {
        lines.push(line(&json.verification(&found, losses(), seen())));
    }

    let command: [OsString; 2] = ["a b".into(), OsStr::from_bytes(b"\xff").to_owned()];
    let (tree, table) = (tree(), table_at_end());
    let now = Duration::from_millis(64_050);
    let summary = TreeSummary::new(&tree, now, Some(&table));
    let branches = tree.branches();
    let kinds = Kinds::ALL;
    lines.extend(
        branches
            .iter()
            .map(|branch| line(&json.process(branch, &summary, kinds))),
    );
    let status = ExitStatus::from_raw(3 << 8);
    lines.push(line(&json.run(&command, status, &summary, Some(losses()))));

    // Without a table, with an error.
    let summary = TreeSummary::new(&tree, now, None);
    let kinds = Kinds::LIFE;
    lines.extend(
        branches
            .iter()
            .map(|branch| line(&json.process(branch, &summary, kinds))),
    );
    let status = ExitStatus::from_raw(libc::SIGKILL);
    let run = json.run(&command, status, &summary, None);
    lines.push(line(&run.with_error(Some("a \"fault\""))));

    // Of the past.
    let time = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
    let gap = || GapLine::new(time(1_600_000_000), None, [("ring_full", 12)]);
    lines.push(line(&gap()));
    lines.push(line(&GapLine::new(None, time(1_600_000_000), [])));
    let past = || json.past_table(Duration::from_secs(64), &processes[..1]);
    lines.push(line(&past().with_gap(None)));
    lines.push(line(&past().with_gap(Some(gap()))));
    let mut exit = Exit::new(1 << 8);
    (exit.cpu_time, exit.max_rss) = (Duration::from_nanos(20_000_001), 1 << 20);
    let end = Duration::from_secs(64);
    for end in [None, Some((end, None)), Some((end, Some(&exit)))] {
        lines.push(line(&json.life(&processes[1], end)));
    }
    lines.push(line(&json.life(&processes[1], None).with_depth(2)));
    lines
}

#[test]
fn every_line_is_that_of_the_contract() {
    for (line, golden) in lines().iter().zip(GOLDEN.lines()) {
        assert_eq!(line, golden);
    }
    assert_eq!(lines().len(), GOLDEN.lines().count());
}

#[test]
fn a_stream_begins_with_its_time_and_boot_and_where_it_is_attached() {
    let mut json = Lines::new(clock(), "b-o-o-t");
    for (dir, attached) in [(None, "null"), (Some(Path::new("/a\"b")), r#""/a\"b""#)] {
        json = json.with_attached(dir);
        let expected = [
            r#"{"v":1,"type":"stream","time":"2020-09-13T12:27:44.999999958Z","boot_id":"b-o-o-t","#,
            &format!("\"attached\":{attached}}}"),
        ];
        assert_eq!(
            line(&json.stream(Duration::from_secs(64))),
            expected.concat()
        );
    }
}

prop_compose! {
    fn any_process()(
        numbers in any::<[u32; 5]>(),
        wide in any::<[u64; 3]>(),
        flags in any::<[bool; 3]>(),
        comm in any_name(),
        [file, exe] in [any_name(), any_name()],
        args in vec(any_name(), 0..4),
    ) -> Process {
        let args = args.iter().map(|arg| OsStr::from_bytes(arg));
        let mut process = Process::new(numbers[0], Duration::from_nanos(wide[0]))
            .with_comm(comm)
            .with_exe(OsStr::from_bytes(&exe))
            .with_file(OsStr::from_bytes(&file))
            .with_args(args);
        [_, process.ppid, process.uid, process.gid, process.execs] = numbers;
        process.parent_start_time = Some(Duration::from_nanos(wide[1]));
        process.cgroup_id = wide[2];
        [process.file_cut, process.exe_cut, process.args_cut] = flags;
        process
    }
}

proptest! {
    #![proptest_config(config(1024))]

    #[test]
    fn any_table_is_one_line_of_json_that_says_the_same(
        processes in vec(any_process(), 0..3),
        numbers in any::<[u64; 5]>(),
        first_refused_pid in any::<Option<u32>>(),
        time in any::<u64>(),
    ) {
        let [table_full, ring_full, missed_runs, args_cut, count] = numbers;
        let (losses, seen) = (
            Losses {
                table_full, first_refused_pid, ring_full, missed_runs, args_cut,
                event_args_cut: 0,
            },
            Seen { fork: count, exec: count, exit: count },
        );
        let json = Lines::new(Clock::booted_at(UNIX_EPOCH), "");
        let time = Duration::from_nanos(time);
        let line = line(&json.table(time, &processes, losses, seen));
        prop_assert!(!line.contains(|c| c < ' '), "{}", line);

        let read: Value = serde_json::from_str(&line)?;
        prop_assert_eq!(&read["v"], &Value::from(1));
        prop_assert_eq!(&read["losses"]["table_full"], &Value::from(table_full));
        prop_assert_eq!(&read["losses"]["first_refused_pid"], &Value::from(first_refused_pid));
        prop_assert_eq!(&read["seen"]["fork"], &Value::from(count));
        let rows = read["processes"].as_array().expect("there are rows");
        prop_assert_eq!(rows.len(), processes.len());
        for (read, process) in rows.iter().zip(&processes) {
            let age = time.saturating_sub(process.start_time).as_nanos() as u64;
            prop_assert_eq!(&read["pid"], &Value::from(process.pid));
            prop_assert_eq!(&read["age_ns"], &Value::from(age));
            prop_assert_eq!(&read["cgroup_id"], &Value::from(process.cgroup_id));
            let args: Vec<_> = process.args().map(OsStr::to_string_lossy).collect();
            prop_assert_eq!(&read["args"], &Value::from(args));
        }
    }
}
