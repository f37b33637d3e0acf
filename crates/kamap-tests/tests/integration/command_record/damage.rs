//! Files that are damaged, of another version, or no history.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rstest::rstest;

use super::load::{Ran, status};
use super::{Folder, change, rows, text};

/// Records something, so that the file has more than a few pages.
#[track_caller]
fn recorded(folder: &Folder) -> u32 {
    let mut recording = folder.record(&[]);
    for _ in 0..50 {
        Ran::words(&["sh", "-c", "exit 3"]);
    }
    let ran = Ran::words(&["sh", "-c", "exit 3"]);
    folder.catch_up(&mut recording);
    recording.end();
    ran.pid
}

fn truncate(path: &Path) {
    let file = OpenOptions::new().write(true).open(path);
    let file = file.expect("it opens");
    let len = file.metadata().expect("it is there").len();
    file.set_len(len / 2).expect("it can be truncated");
}

fn overwrite(path: &Path) {
    let file = OpenOptions::new().write(true).open(path);
    let file = file.expect("it opens");
    let len = file.metadata().expect("it is there").len();
    // All but the first page, in which the schema begins.
    let garbage = vec![0xa5; len as usize - 4096];
    file.write_all_at(&garbage, 4096)
        .expect("it can be written");
}

fn overwrite_the_middle(path: &Path) {
    let page: i64 = rows(
        path,
        "SELECT rootpage FROM sqlite_schema WHERE name = 'lives'",
    )[0];
    let file = OpenOptions::new().write(true).open(path);
    let file = file.expect("it opens");
    // What a reader finds when it looks for lives, and not before.
    file.write_all_at(&[0xa5; 4096], (page.unsigned_abs() - 1) * 4096)
        .expect("it can be written");
}

fn empty(path: &Path) {
    File::create(path).expect("it can be truncated");
}

fn zero(path: &Path) {
    let len = fs::metadata(path).expect("it is there").len();
    fs::write(path, vec![0; len as usize]).expect("it can be written");
}

fn other(path: &Path) {
    fs::remove_file(path).expect("it is there");
    change(path, "CREATE TABLE lives (id INTEGER)");
}

#[rstest]
#[case::truncated(truncate)]
#[case::overwritten(overwrite)]
#[case::overwritten_in_the_middle(overwrite_the_middle)]
#[case::empty(empty)]
#[case::zeros(zero)]
#[case::of_something_else(other)]
fn a_damaged_file_is_left_out_by_readers_and_set_aside_by_the_recorder(#[case] damage: fn(&Path)) {
    let folder = Folder::new();
    recorded(&folder);
    let path = folder.files().remove(0);
    damage(&path);
    let name = path.to_str().expect("it is UTF-8");
    for arguments in [
        &["history"][..],
        &["history", "--summary"],
        &["history", "--tree"],
    ] {
        let output = folder.run(arguments);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {err}");
        assert!(err.contains(name) && err.contains("damaged"), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    let mut recording = folder.record(&[]);
    let ran = Ran::words(&["sh", "-c", "exit 5"]);
    folder.catch_up(&mut recording);
    let said = recording.said();
    let aside = format!("{name}.damaged");
    assert!(said.contains(&aside), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(fs::exists(&aside).expect("it can be looked for"));
    // Readers have nothing to warn of any more.
    folder.says(&["history"]);
    assert_eq!(status(&folder.lives_of(ran.pid)[0]), Some(5 << 8));
    recording.end();
}

#[test]
fn files_beside_a_damaged_one_are_read_and_no_process_is_shown_twice() {
    let folder = Folder::new();
    let held = kamap_tests::Held::start(&mut crate::programs::held());
    let ends = kamap_tests::Held::start(&mut crate::programs::held());
    let first = recorded(&folder);
    // A second file, as of another day, and then a third one.
    let path = folder.files().remove(0);
    let second = folder.history().join("kamap-000002-2020-01-01.sqlite");
    fs::copy(&path, &second).expect("it can be copied");
    overwrite(&second);
    let end = ends.pid();
    assert!(ends.release().success());
    let mut recording = folder.record(&[]);
    let ran = Ran::words(&["sh", "-c", "exit 5"]);
    folder.catch_up(&mut recording);
    assert!(recording.said().contains("000002"), "{}", recording.said());
    assert_eq!(status(&folder.lives_of(ran.pid)[0]), Some(5 << 8));
    assert_eq!(status(&folder.lives_of(first)[0]), Some(3 << 8));
    let lives = folder.lives_of(held.pid());
    assert_eq!(lives.len(), 1, "{lives:?}");
    assert_eq!(lives[0]["running"], true);
    folder.until_ended(end);
    let lives = folder.lives_of(end);
    assert_eq!(lives.len(), 1, "{lives:?}");
    assert_eq!(
        (&lives[0]["running"], status(&lives[0])),
        (&false.into(), None)
    );
    assert!(held.release().success());
    recording.end();
}

#[test]
fn another_version_is_refused_with_the_cure() {
    let folder = Folder::new();
    recorded(&folder);
    for (version, cure) in [(99, "use a newer kamap"), (0, "use an older kamap")] {
        change(
            &folder.files()[0],
            &format!("PRAGMA user_version = {version}"),
        );
        let version = format!("version {version}");
        for arguments in [&["history"][..], &["why", "1"], &["record", "--own"]] {
            let refusal = folder.refuses(arguments);
            assert!(
                refusal.contains(&version) && refusal.contains(cure),
                "{refusal}"
            );
        }
    }
    assert_eq!(folder.files().len(), 1);
}

#[test]
fn without_a_history_each_reader_says_how_to_get_one() {
    let folder = Folder::new();
    for arguments in [&["history"][..], &["why", "1"], &["history", "--summary"]] {
        let refusal = folder.refuses(arguments);
        assert!(refusal.contains("no history in"), "{refusal}");
        assert!(refusal.contains("kamap record"), "{refusal}");
    }
}
