//! The programs that the tests start.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kamap_tests::Held;

/// Runs until its standard input is closed.
pub(crate) const HELD: &str = env!("CARGO_BIN_EXE_held");

/// Forks without exec.
pub(crate) const FORKED: &str = env!("CARGO_BIN_EXE_forked");

/// Starts a child in ways of its own.
pub(crate) const STARTS: &str = env!("CARGO_BIN_EXE_starts");

/// Execs in ways of its own.
pub(crate) const EXECS: &str = env!("CARGO_BIN_EXE_execs");

/// Fails to exec.
pub(crate) const FAILS: &str = env!("CARGO_BIN_EXE_fails");

/// Aborts.
pub(crate) const ABORTS: &str = env!("CARGO_BIN_EXE_aborts");

/// Traces another process and all that it starts.
pub(crate) const TRACES: &str = env!("CARGO_BIN_EXE_traces");

/// Traces a child, and holds it.
pub(crate) const HOLDS: &str = env!("CARGO_BIN_EXE_holds");

/// Has many children that end or exec at one moment.
pub(crate) const CROWD: &str = env!("CARGO_BIN_EXE_crowd");

/// Has one child after the other, all with the same PID.
pub(crate) const SUCCESSORS: &str = env!("CARGO_BIN_EXE_successors");

/// Starts a tracker and drops it.
pub(crate) const DROPPED: &str = env!("CARGO_BIN_EXE_dropped");

/// Has threads that leave or exec.
pub(crate) const THREADS: &str = env!("CARGO_BIN_EXE_threads");

/// Changes its name, its user and its parent.
pub(crate) const BECOMES: &str = env!("CARGO_BIN_EXE_becomes");

/// Has children that use the CPU.
pub(crate) const SPINS: &str = env!("CARGO_BIN_EXE_spins");

/// Gives itself a name.
pub(crate) const NAMED: &str = env!("CARGO_BIN_EXE_named");

/// Does something to its own arguments.
pub(crate) const ARGUMENTS: &str = env!("CARGO_BIN_EXE_arguments");

/// The command `kamap`.
pub(crate) const KAMAP: &str = env!("CARGO_BIN_EXE_kamap-under-test");

pub(crate) fn held() -> Command {
    Command::new(HELD)
}

/// Like `held`, for a machine of 32 bits: an ELF file that is all header and code.
#[cfg(target_arch = "x86_64")]
pub(crate) fn tiny_of_32_bits() -> Vec<u8> {
    const ADDRESS: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    #[rustfmt::skip]
    const CODE: [u8; 43] = [
        0x6a, b'\n',             //    push '\n'
        0x89, 0xe1,              //    mov  %esp, %ecx
        0xb8, 4, 0, 0, 0,        //    mov  $4, %eax
        0xbb, 1, 0, 0, 0,        //    mov  $1, %ebx
        0xba, 1, 0, 0, 0,        //    mov  $1, %edx
        0xcd, 0x80,              //    int  $0x80           write(1, "\n", 1)
        0xb8, 3, 0, 0, 0,        // 1: mov  $3, %eax
        0x31, 0xdb,              //    xor  %ebx, %ebx
        0x89, 0xe1,              //    mov  %esp, %ecx
        0xcd, 0x80,              //    int  $0x80           read(0, stack, 1)
        0x85, 0xc0,              //    test %eax, %eax
        0x7f, 0xf1,              //    jg   1b
        0xb8, 1, 0, 0, 0,        //    mov  $1, %eax
        0xcd, 0x80,              //    int  $0x80           exit(0)
    ];
    let len = HEADERS + CODE.len() as u32;
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves = |halves: &[u16]| halves.iter().flat_map(|half| half.to_le_bytes()).collect();
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let parts: [Vec<u8>; 5] = [
        // An executable, for the 386.
        halves(&[2, 3]),
        // Version, entry, program headers, no section headers, no flags.
        words(&[1, ADDRESS + HEADERS, 52, 0, 0]),
        // Sizes: this header, one program header, no section headers.
        halves(&[52, 32, 1, 0, 0, 0]),
        // All of the file, to be read and executed.
        words(&[1, 0, ADDRESS, ADDRESS, len, len, 5, 0x1000]),
        CODE.to_vec(),
    ];
    elf.extend(parts.concat());
    elf
}

/// An ELF file for this machine whose second segment cannot be mapped: an exec of it fails past the
/// point of no return.
pub(crate) fn elf_beyond_memory() -> Vec<u8> {
    const PAGE: u64 = 0x1_0000;
    const ADDRESS: u64 = 0x40_0000;
    const BEYOND: u64 = 0xffff_8000_0000_0000;
    #[cfg(target_arch = "x86_64")]
    const MACHINE: u16 = 62;
    #[cfg(target_arch = "aarch64")]
    const MACHINE: u16 = 183;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves = |halves: &[u16]| halves.iter().flat_map(|half| half.to_le_bytes()).collect();
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let longs = |longs: &[u64]| longs.iter().flat_map(|long| long.to_le_bytes()).collect();
    let parts: [Vec<u8>; 9] = [
        // An executable.
        halves(&[2, MACHINE]),
        // Version; entry, program headers, no section headers; no flags.
        words(&[1]),
        longs(&[ADDRESS, 64, 0]),
        words(&[0]),
        // Sizes: this header, two program headers, no section headers.
        halves(&[64, 56, 2, 0, 0, 0]),
        // To be read and executed.
        words(&[1, 5]),
        longs(&[0, ADDRESS, ADDRESS, PAGE, PAGE, PAGE]),
        // To be read and written.
        words(&[1, 6]),
        longs(&[PAGE, BEYOND, 0, PAGE, PAGE, PAGE]),
    ];
    elf.extend(parts.concat());
    elf.resize(2 * PAGE as usize, 0);
    elf
}

/// Like `held`, for when there are many of it: small, and where files are fast.
pub(crate) struct Tiny {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Tiny {
    #[track_caller]
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("tiny");
        std::fs::copy(kamap_tests::TINY, &path).expect("it can be copied");
        Self {
            _folder: folder,
            path,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs one to its end. Returns what its PID was.
    #[track_caller]
    pub(crate) fn run(&self) -> u32 {
        let mut command = Command::new(&self.path);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        assert!(child.wait().expect("it can be waited for").success());
        child.id()
    }

    /// Starts one; it runs until it is released.
    #[track_caller]
    pub(crate) fn start(&self) -> Held {
        Held::start(&mut Command::new(&self.path))
    }
}
