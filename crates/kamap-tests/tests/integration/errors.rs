//! Errors: one line with the cause and what to do.

use std::fs;
use std::process::{Command, Output};

use rstest::rstest;

use crate::programs::KAMAP;

/// Runs a kamap that fails; returns its error.
#[track_caller]
fn failure(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("it starts");
    let stderr = String::from_utf8(stderr).expect("it is UTF-8");
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stdout.is_empty());
    stderr
}

/// Runs kamap in its own mount namespace, which `script` changes first.
fn where_mounted(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "sh",
            "-ec",
            &format!("{script}\nexec \"$@\""),
            "sh",
            KAMAP,
        ])
        .args(arguments);
    command
}

#[test]
fn missing_capabilities_are_named() {
    let mut command = Command::new("setpriv");
    let error = failure(command.args(["--bounding-set=-all", "--inh-caps=-all", KAMAP]));
    assert_eq!(
        error,
        "kamap: not permitted: CAP_BPF and CAP_PERFMON missing; run it as root (`sudo`), or give \
         it CAP_BPF and CAP_PERFMON\n"
    );
    let mut command = Command::new("setpriv");
    let error = failure(command.args(["--bounding-set=-all,+bpf", "--inh-caps=-all", KAMAP]));
    assert!(
        error.starts_with("kamap: not permitted: CAP_PERFMON missing;"),
        "{error}"
    );
}

#[test]
fn the_two_capabilities_are_enough() {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all,+bpf,+perfmon", "--inh-caps=-all"]);
    let output = command
        .args([KAMAP, "--all", "--once"])
        .output()
        .expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("kthreadd"));
}

#[test]
fn a_user_namespace_is_no_way_around() {
    let mut command = Command::new("unshare");
    let error = failure(command.args(["--user", "--map-root-user", KAMAP]));
    assert!(
        error.starts_with("kamap: the kernel does not permit BPF here"),
        "{error}"
    );
    assert!(error.contains("user namespace"), "{error}");
}

#[rstest]
#[case::pid("--pid", "pid")]
#[case::time("--time", "time")]
fn a_namespace_that_hides_processes_is_told(#[case] option: &str, #[case] name: &str) {
    let error = failure(Command::new("unshare").args(["--fork", option, KAMAP]));
    assert!(
        error.starts_with(&format!("kamap: this is a {name} namespace of its own")),
        "{error}"
    );
    assert!(error.contains("--pid=host"), "{error}");
}

#[test]
fn an_output_that_fails_is_told() {
    let error = failure(Command::new(KAMAP).arg("--once").stdout(full()));
    assert!(
        error.starts_with("kamap: failed to write to standard output: No space left on device"),
        "{error}"
    );
}

/// A file to which nothing can be written.
fn full() -> fs::File {
    let mut options = fs::OpenOptions::new();
    options.write(true).open("/dev/full").expect("it is there")
}

#[test]
fn a_closed_standard_error_leaves_the_exit_status() {
    let script = "\"$0\" --max-entries 4294967295 2>&-";
    let status = Command::new("sh").args(["-c", script, KAMAP]).status();
    assert_eq!(status.expect("it starts").code(), Some(1));
}

#[test]
fn a_kernel_without_btf_is_told() {
    let error = failure(&mut where_mounted(
        "mount -t tmpfs none /sys/kernel/btf",
        &[],
    ));
    assert_eq!(
        error,
        "kamap: this kernel has no BTF (`/sys/kernel/btf/vmlinux` does not exist); use a kernel \
         built with CONFIG_DEBUG_INFO_BTF=y\n"
    );
}

/// Kernel BTF in which a field has another name. To libbpf and the verifier, that kernel lacks the
/// field.
struct OtherBtf {
    file: tempfile::NamedTempFile,
}

impl OtherBtf {
    fn without(field: &str) -> Self {
        let mut btf = fs::read("/sys/kernel/btf/vmlinux").expect("the kernel has BTF");
        let name = format!("\0{field}\0").into_bytes();
        let at = btf.windows(name.len()).position(|window| window == name);
        let at = at.expect("the kernel has the field");
        btf[at + 1] = b'#';
        let file = tempfile::NamedTempFile::new().expect("a file can be made");
        fs::write(file.path(), btf).expect("it can be written");
        Self { file }
    }

    /// A script that mounts it over the kernel's own.
    fn mount(&self) -> String {
        format!(
            "mount --bind {} /sys/kernel/btf/vmlinux",
            self.file.path().display()
        )
    }
}

#[test]
fn a_rejected_program_is_named_with_the_verifiers_reason() {
    let btf = OtherBtf::without("start_boottime");
    let error = failure(&mut where_mounted(&btf.mount(), &[]));
    let (hint, line) = error.split_once('\n').expect("there are two lines");
    assert_eq!(hint, "kamap: run with -v for the whole log");
    assert!(
        line.starts_with("kamap: this kernel's verifier rejected the program `on_"),
        "{line}"
    );
    assert!(line.contains("start_boottime"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");

    let whole = failure(&mut where_mounted(&btf.mount(), &["-v"]));
    assert!(whole.contains("-- BEGIN PROG LOAD LOG --"), "{whole}");
    assert!(whole.ends_with(line), "{whole}");
}

#[test]
fn a_kernel_too_old_is_told_with_what_it_lacks() {
    let btf = OtherBtf::without("start_boottime");
    let release = tempfile::NamedTempFile::new().expect("a file can be made");
    fs::write(release.path(), "5.4.0-216-generic\n").expect("it can be written");
    let release = release.path().display();
    let old = format!(
        "{}; mount --bind {release} /proc/sys/kernel/osrelease",
        btf.mount()
    );
    let error = failure(&mut where_mounted(&old, &[]));
    let line = error.lines().last().expect("there is one");
    assert!(
        line.starts_with("kamap: kernel 5.4.0-216-generic is too old: kamap needs 5.15 or newer ("),
        "{line}"
    );
    assert!(line.contains("start_boottime"), "{line}");
}

#[test]
fn an_old_number_alone_is_no_obstacle() {
    let release = tempfile::NamedTempFile::new().expect("a file can be made");
    fs::write(release.path(), "5.14.0-503.el9.x86_64\n").expect("it can be written");
    let release = release.path().display();
    let old = format!("mount --bind {release} /proc/sys/kernel/osrelease");
    let output = where_mounted(&old, &["--once"])
        .output()
        .expect("it starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_table_size_that_the_kernel_refuses_is_told() {
    let error = failure(Command::new(KAMAP).args(["--max-entries", "4294967295"]));
    assert!(
        error.starts_with("kamap: the kernel refused a table of 4294967295 entries, about "),
        "{error}"
    );
    assert!(
        error.contains("MiB") && error.contains("ask for a smaller one"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
}
