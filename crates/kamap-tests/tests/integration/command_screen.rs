//! The table on a terminal, as the terminal shows it.

use std::process::Command;

use kamap_tests::command::{output, row, rows};
use kamap_tests::{Held, OnTerminal, Tiny, allow_many_files, eventually};
use rstest::rstest;
use serde_json::Value;
use vt100::{Color, Screen};

use crate::programs::{HELD, KAMAP, held, kamap};

/// A `kamap` that shows the children of this process, on a terminal of this size.
#[track_caller]
fn start(rows: u16, columns: u16, arguments: &[&str], set: &[(&str, &str)]) -> OnTerminal {
    let me = std::process::id().to_string();
    let mut kamap = Command::new(KAMAP);
    kamap
        .args(["--interval", "20ms", "--ppid", &me])
        .args(arguments)
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8")
        .env_remove("NO_COLOR")
        .envs(set.iter().copied());
    let mut terminal = OnTerminal::start(rows, columns, &mut kamap);
    terminal.screen("its programs are attached", |screen| {
        screen.contents().contains("live ").then_some(())
    });
    terminal
}

fn lines(screen: &Screen) -> Vec<String> {
    let (_, columns) = screen.size();
    screen.rows(0, columns.get()).collect()
}

/// The line about the process, and its number.
fn line_of(screen: &Screen, pid: u32) -> Option<(u16, String)> {
    let lines = lines(screen).into_iter().zip(0..);
    let mut of_pid =
        lines.filter(|(line, _)| line.split_whitespace().next() == Some(&pid.to_string()));
    of_pid.next().map(|(line, at)| (at, line))
}

/// Waits until a line of the screen begins like this, or contains it.
#[track_caller]
fn wait_for(terminal: &mut OnTerminal, text: &str) -> Vec<String> {
    terminal.screen(text, |screen| {
        let lines = lines(screen);
        lines
            .iter()
            .any(|line| line.contains(text))
            .then_some(lines)
    })
}

#[track_caller]
fn wait_until_without(terminal: &mut OnTerminal, text: &str) {
    terminal.screen("it is gone", |screen| {
        (!screen.contents().contains(text)).then_some(())
    });
}

#[track_caller]
fn wait_for_row(terminal: &mut OnTerminal, pid: u32) -> String {
    let what = format!("the row of {pid}");
    terminal.screen(&what, |screen| line_of(screen, pid).map(|found| found.1))
}

#[test]
fn keys_change_what_is_shown() {
    let before = Held::start(held().arg("0"));
    let mut terminal = start(24, 80, &[], &[]);
    let [one, other] = ["first", "second"].map(|name| Held::start(held().args(["0", name])));
    let pids = [&one, &other].map(Held::pid);
    for pid in pids {
        wait_for_row(&mut terminal, pid);
    }
    let found = wait_for(&mut terminal, "? help");
    assert!(found[0].trim_start().starts_with("PID"), "{found:?}");
    assert!(found[0].contains("EXECS COMMAND"), "{found:?}");

    terminal.type_keys("a");
    wait_for_row(&mut terminal, before.pid());
    terminal.type_keys("a");
    terminal.screen("it is gone", |screen| {
        line_of(screen, before.pid()).is_none().then_some(())
    });

    terminal.type_keys("t");
    let found = wait_for(&mut terminal, "TREE_EXECS");
    assert!(found.contains(&"tree  ? help".to_owned()), "{found:?}");
    terminal.type_keys("t");
    wait_until_without(&mut terminal, "TREE_EXECS");

    // By PID, in both directions.
    let order = |terminal: &mut OnTerminal, status: &str| {
        wait_for(terminal, status);
        let found = terminal.screen("both rows", |screen| {
            Some([line_of(screen, pids[0])?.0, line_of(screen, pids[1])?.0])
        });
        (found[0] < found[1], pids[0] < pids[1])
    };
    terminal.type_keys("s");
    let (shown, pids_ascend) = order(&mut terminal, "sort pid");
    assert_eq!(shown, pids_ascend);
    terminal.type_keys("r");
    let (shown, pids_ascend) = order(&mut terminal, "sort -pid");
    assert_ne!(shown, pids_ascend);
    terminal.type_keys("S");
    wait_until_without(&mut terminal, "sort");

    terminal.type_keys("/SECONx\x7f");
    wait_for(&mut terminal, "/SECON_");
    terminal.screen("the other row is left out", |screen| {
        (line_of(screen, pids[0]).is_none() && line_of(screen, pids[1]).is_some()).then_some(())
    });
    terminal.type_keys("d\r");
    wait_for(&mut terminal, "filter SECONd  ? help");
    // Now it is a command again.
    terminal.type_keys("?");
    let help = wait_for(&mut terminal, "PgUp");
    assert!(!help.iter().any(|line| line.contains("live ")), "{help:?}");
    terminal.type_keys("x\x1b");
    wait_for_row(&mut terminal, pids[0]);

    terminal.type_keys("\x1b[C");
    let found = wait_for(&mut terminal, "from column 9");
    assert!(!found[0].contains("PPID"), "{found:?}");
    terminal.type_keys("\x1b[D");
    wait_until_without(&mut terminal, "from column");

    assert!(!terminal.has_line_editing());
    terminal.type_keys("q");
    assert_eq!(terminal.ended().code(), Some(0));
    assert!(terminal.has_line_editing());
    terminal.screen("the last table stays", |screen| {
        (!screen.alternate_screen() && screen.contents().contains("live ")).then_some(())
    });
    drop((one, other));
}

#[rstest]
#[case::interrupt("\x03")]
#[case::quit_key("\x1b[21~")]
fn the_terminal_is_as_it_was_after_the_end(#[case] keys: &str) {
    let mut terminal = start(24, 80, &[], &[]);
    assert!(!terminal.has_line_editing());
    terminal.type_keys(keys);
    assert_eq!(terminal.ended().code(), Some(0));
    assert!(terminal.has_line_editing());
}

#[test]
fn a_stopped_kamap_gives_the_terminal_back() {
    let mut terminal = start(24, 80, &[], &[]);
    terminal.type_keys("\x1a");
    eventually("the terminal is given back", || {
        terminal.has_line_editing().then_some(())
    });
    terminal.screen("it leaves the screen", |screen| {
        (!screen.alternate_screen()).then_some(())
    });
    eventually(
        "it has stopped: otherwise it would stop once it was continued",
        || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", terminal.pid()));
            let (_, after_name) = stat.as_ref().expect("it is there").rsplit_once(") ")?;
            after_name.starts_with('T').then_some(())
        },
    );
    // SAFETY: the child has not been waited for, so the PID is its own.
    unsafe { libc::kill(terminal.pid().cast_signed(), libc::SIGCONT) };
    terminal.screen("it draws again", |screen| {
        (screen.alternate_screen() && screen.contents().contains("live ")).then_some(())
    });
    eventually("it takes keys again", || {
        (!terminal.has_line_editing()).then_some(())
    });
    terminal.type_keys("q");
    assert_eq!(terminal.ended().code(), Some(0));
}

#[test]
fn rows_that_come_and_go_are_coloured_for_a_moment() {
    let mut terminal = start(24, 80, &[], &[]);
    let child = Held::start(&mut held());
    let pid = child.pid();
    let color = |screen: &Screen| {
        let (at, _) = line_of(screen, pid)?;
        let first = lines(screen)[usize::from(at)].find(|c| c != ' ')?;
        Some(screen.cell(at, first as u16)?.fgcolor())
    };
    let mut wait_for = |what: &str, wanted: Option<Color>| {
        terminal.screen(what, |screen| (color(screen) == wanted).then_some(()));
    };
    wait_for("it is new", Some(Color::Idx(2)));
    wait_for("it is an ordinary row", Some(Color::Default));
    assert!(child.release().success());
    wait_for("it has gone", Some(Color::Idx(1)));
    wait_for("it is not shown any more", None);
    terminal.screen("the header is bold", |screen| {
        screen.cell(0, 20)?.bold().then_some(())
    });
}

#[rstest]
#[case::no_color(&[], &[("NO_COLOR", "1")])]
#[case::never(&["--color", "never"], &[])]
fn without_colours_words_mark_rows_that_come_and_go(
    #[case] arguments: &[&str],
    #[case] set: &[(&str, &str)],
) {
    let mut terminal = start(24, 80, arguments, set);
    let child = Held::start(&mut held());
    let pid = child.pid();
    let new = wait_for(&mut terminal, "(new) ");
    assert!(
        new.iter().any(|line| line.contains(&pid.to_string())),
        "{new:?}"
    );
    wait_until_without(&mut terminal, "(new) ");
    assert!(child.release().success());
    wait_for(&mut terminal, "(gone) ");
    wait_until_without(&mut terminal, "(gone) ");
    terminal.type_keys("q");
    assert_eq!(terminal.ended().code(), Some(0));
    let colored = terminal.shows("all that was drawn", |text| {
        Some(text.split("\x1b[").skip(1).any(|sequence| {
            let end = sequence.find(|c: char| c.is_ascii_alphabetic());
            end.is_some_and(|end| &sequence[end..=end] == "m")
        }))
    });
    assert!(!colored);
}

/// The lines of a screen on which the table, and what is below it, is as it should be.
#[track_caller]
fn assert_fits(found: &[String], (height, width): (u16, u16)) {
    assert_eq!(found.len(), usize::from(height));
    let live = found.iter().filter(|line| line.starts_with("live "));
    assert_eq!(live.count(), 1, "{found:?}");
    for line in found {
        assert!(line.chars().count() <= usize::from(width), "{line:?}");
    }
    if height > 4 {
        assert!(found[0].trim_start().starts_with("PID"), "{found:?}");
    }
}

#[test]
fn a_thousand_rows_are_scrolled_on_terminals_of_each_size() {
    const ROWS: usize = 1_000;
    allow_many_files();
    let mut terminal = start(24, 80, &[], &[]);
    let tiny = Tiny::new();
    let children: Vec<_> = (0..ROWS).map(|_| tiny.start()).collect();
    let (first, last) = (children[0].pid(), children[ROWS - 1].pid());
    // The newest are shown.
    wait_for_row(&mut terminal, last);
    let found = wait_for(&mut terminal, "(979 older processes do not fit)");
    assert_fits(&found, (24, 80));
    terminal.type_keys("\x1b[5~");
    let found = wait_for(&mut terminal, "(rows 959-979 of 1000)");
    assert_fits(&found, (24, 80));
    terminal.type_keys("\x1b[H");
    wait_for(&mut terminal, "(rows 1-21 of 1000)");
    wait_for_row(&mut terminal, first);
    terminal.type_keys("\x1b[B\x1b[B\x1b[A");
    wait_for(&mut terminal, "(rows 2-22 of 1000)");

    for (size, shown) in [
        ((50, 200), "(rows 2-48 of 1000)"),
        ((24, 80), "(rows 2-22 of 1000)"),
    ] {
        terminal.resize(size.0, size.1);
        let found = wait_for(&mut terminal, shown);
        assert_fits(&found, size);
    }
    // So small that the footer needs all of it.
    terminal.resize(3, 20);
    let found = terminal.screen("the small screen", |screen| {
        let found = lines(screen);
        let begins = found[0].starts_with("live ");
        begins.then_some(found)
    });
    assert_eq!(found.len(), 3);
    terminal.resize(24, 80);
    terminal.type_keys("\x1b[F");
    wait_for(&mut terminal, "(979 older processes do not fit)");
    // In a tree the first come first.
    terminal.type_keys("t");
    let found = wait_for(&mut terminal, "(rows 1-20 of 1000)");
    assert_fits(&found, (24, 80));
    wait_for_row(&mut terminal, first);
    terminal.type_keys("q");
    assert_eq!(terminal.ended().code(), Some(0));
}

#[rstest]
#[case::utf_8("C.UTF-8", "└─ ")]
#[case::ascii("C", "`- ")]
fn a_tree_is_drawn_with_the_characters_of_the_locale(#[case] locale: &str, #[case] line: &str) {
    let child = Held::start(&mut held());
    let (me, pid) = (std::process::id().to_string(), child.pid().to_string());
    let both = format!("{me},{pid}");
    let arguments = ["--all", "--once", "--tree", "--pid", &both];
    let table = output({
        let mut kamap = kamap(&arguments);
        kamap.env("LC_ALL", locale);
        kamap
    });
    let of_child = table
        .lines()
        .find(|line| line.trim_start().starts_with(&pid));
    let of_child = of_child.expect("it is shown");
    assert!(of_child.contains(&format!(" {line}{HELD}")), "{table}");
    let of_me = table
        .lines()
        .find(|line| line.trim_start().starts_with(&me));
    let descendants = of_me.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    // The child, and the kamap itself.
    assert!(descendants >= Some(2), "{table}");
    assert_eq!(table.is_ascii(), locale == "C", "{table}");
}

#[test]
fn a_dumb_terminal_gets_one_table_after_the_other_and_no_escapes() {
    let mut terminal = start(24, 60, &["--all", "--count", "2"], &[("TERM", "dumb")]);
    assert_eq!(terminal.ended().code(), Some(0));
    let text = terminal.shows("two tables", |text| {
        (text.matches("live ").count() == 2).then(|| text.to_owned())
    });
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn a_single_table_on_a_terminal_is_cut_to_its_width_unless_it_is_to_be_wide() {
    let long = Held::start(held().args(["0", &"x".repeat(200)]));
    let pid = long.pid().to_string();
    for (arguments, is_cut) in [(&[][..], true), (&["--wide"], false)] {
        let arguments = [&["--all", "--once", "--pid", &pid], arguments].concat();
        let mut kamap = Command::new(KAMAP);
        kamap
            .args(arguments)
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8");
        let mut terminal = OnTerminal::start(24, 80, &mut kamap);
        let line = terminal.shows("the table", |text| {
            text.contains("live ").then(|| {
                let line = text.lines().find(|line| line.contains(HELD));
                line.expect("the row is there").to_owned()
            })
        });
        assert_eq!(line.contains('…'), is_cut, "{line}");
        assert_eq!(line.chars().count() <= 80, is_cut, "{line}");
    }
}

#[test]
fn columns_and_their_order_can_be_chosen() {
    let [one, other] = [(); 2].map(|()| Held::start(&mut held()));
    let pids = [&one, &other].map(|child| child.pid().to_string());
    let shown = |arguments: &[&str]| {
        let both = pids.join(",");
        let arguments = [&["--all", "--once", "--pid", &both], arguments].concat();
        let text = output(kamap(&arguments));
        let words =
            |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        text.lines().take(3).map(words).collect::<Vec<_>>()
    };
    let table = shown(&["--columns", "comm,uid,pid,origin", "--sort", "-start"]);
    assert_eq!(table[0], ["COMM", "UID", "PID", "ORIGIN"]);
    assert_eq!(table[1], ["held", "0", &pids[1], "seed"]);
    assert_eq!(table[2], ["held", "0", &pids[0], "seed"]);
    let table = shown(&["--columns", "pid", "--sort", "comm,start"]);
    assert_eq!(table, [["PID"], [&pids[0]], [&pids[1]]]);
}

#[test]
fn a_process_that_is_dead_and_not_reaped_is_shown_with_all() {
    let mut child = Command::new("true").spawn().expect("it starts");
    let pid = child.id();
    eventually("it is dead", || {
        let stat = kamap_tests::stat(pid)?;
        stat.ended.then_some(())
    });
    let table = output(kamap(&["--all", "--once"]));
    let of_child = |line: &&str| line.split_whitespace().next() == Some(&pid.to_string());
    let line = table.lines().find(of_child).expect("it is shown");
    assert!(line.ends_with("[true] <defunct>"), "{line}");
    let me = std::process::id().to_string();
    assert_eq!(line.split_whitespace().nth(1), Some(&*me), "{line}");
    let chosen = output(kamap(&["--all", "--once", "--ppid", "2"]));
    assert!(!chosen.contains("<defunct>"), "{chosen}");
    let executed = output(kamap(&["--once"]));
    assert!(!executed.contains("<defunct>"), "{executed}");
    // It is not in the table.
    let json = output(kamap(&["--all", "--once", "--json"]));
    let json: Value = serde_json::from_str(&json).expect("it is JSON");
    assert!(rows(&json).len() > 10);
    assert_eq!(row(&json, pid), None);
    child.wait().expect("it can be waited for");
}

#[test]
fn events_of_failures_are_coloured_on_a_terminal() {
    for (color, colored) in [("auto", true), ("never", false)] {
        let me = std::process::id().to_string();
        let mut kamap = Command::new(KAMAP);
        kamap
            .args(["events", "--ppid", &me, "--color", color])
            .env("TERM", "xterm")
            .env_remove("NO_COLOR");
        let mut terminal = OnTerminal::start(24, 100, &mut kamap);
        terminal.screen("its programs are attached", |screen| {
            screen.contents().contains("COMMAND").then_some(())
        });
        let [good, bad] = ["0", "3"].map(|code| {
            let child = Held::start(held().arg(code));
            let pid = child.pid();
            child.release();
            pid
        });
        let color_of = |screen: &Screen, pid: u32| {
            let pid = pid.to_string();
            let is_exit = |line: &String| line.contains(" exit ") && line.contains(&pid);
            let at = lines(screen).iter().position(is_exit)?;
            Some(screen.cell(at as u16, 0)?.fgcolor())
        };
        let colors = terminal.screen("both ends", |screen| {
            Some([color_of(screen, good)?, color_of(screen, bad)?])
        });
        let of_failure = if colored {
            Color::Idx(1)
        } else {
            Color::Default
        };
        assert_eq!(colors, [Color::Default, of_failure]);
    }
}
