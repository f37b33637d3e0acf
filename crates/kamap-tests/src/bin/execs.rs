//! Execs its second argument with the rest of the arguments, of which the first is the program's
//! name. The first argument selects the system call:
//!
//! - `path`: execve(2), as usual.
//! - `descriptor`: fexecve(3) of descriptor 42.
//! - `empty-path`: execveat(2) of descriptor 42 with `AT_EMPTY_PATH`.
//! - `folder`: execveat(2) of a name in the folder that is open as descriptor 42.
//! - `32-bit`: execve(2) with the calling convention of 32-bit programs.
//! - `forged`: execve(2) with one argument, from a page. It first prints the addresses of the path and
//!   the argument list, and waits until its standard input is closed.
//! - `memory`: a copy in an anonymous file in memory (memfd), by descriptor 42.

use std::ffi::{CStr, CString, OsString, c_char, c_int};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::ptr;

unsafe extern "C" {
    static environ: *const *const c_char;
}

const DESCRIPTOR: c_int = 42;

/// Keeps `file` open as `DESCRIPTOR` across exec, because an interpreter opens it again.
fn keep(file: &File) {
    // SAFETY: takes two integers, and nothing else is open as the second.
    let kept = unsafe { libc::dup2(file.as_raw_fd(), DESCRIPTOR) };
    assert_eq!(kept, DESCRIPTOR, "{}", io::Error::last_os_error());
}

fn open(path: &Path) -> File {
    File::open(path).expect("it can be opened")
}

fn in_memory(path: &Path) -> File {
    // SAFETY: the name is terminated.
    let fd = unsafe { libc::memfd_create(c"in memory".as_ptr(), 0) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor is new, and nobody else's.
    let mut file = unsafe { File::from_raw_fd(fd) };
    io::copy(&mut open(path), &mut file).expect("it can be copied");
    file
}

/// Calls execve(2) with the calling convention of 32-bit programs.
#[cfg(target_arch = "x86_64")]
fn of_32_bits(path: &CStr, arguments: &[CString]) -> io::Error {
    const EXECVE: i32 = 11;
    // SAFETY: a new mapping, at an address that 32 bits can hold.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            1 << 20,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
            -1,
            0,
        )
    };
    assert!(memory != libc::MAP_FAILED, "{}", io::Error::last_os_error());
    let mut free = memory.cast::<u8>();
    let mut put = |bytes: &[u8]| {
        let at = free;
        // SAFETY: what the tests have is far less than the mapping.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len());
            free = at.add(bytes.len());
        }
        at as u32
    };
    let path = put(path.to_bytes_with_nul());
    let mut list: Vec<u32> = arguments
        .iter()
        .map(|argument| put(argument.to_bytes_with_nul()))
        .collect();
    list.push(0);
    let list: Vec<u8> = list
        .iter()
        .flat_map(|address| address.to_ne_bytes())
        .collect();
    let list = put(&list);
    let result: i32;
    // SAFETY: path and list are terminated. rbx, which is not to be named, is put back;
    // older kernels do not keep r8 to r11.
    unsafe {
        std::arch::asm!(
            "xchg {path}, rbx",
            "int 0x80",
            "xchg {path}, rbx",
            path = inout(reg) u64::from(path) => _,
            inout("eax") EXECVE => result,
            in("ecx") list,
            in("edx") 0,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    io::Error::from_raw_os_error(-result)
}

/// Calls execve(2) with a path and a list at addresses that any program can map.
fn forged(path: &CStr) -> ! {
    const PAGE: usize = 0x1000_0000;
    const LEN: usize = 4096;
    // SAFETY: a new mapping, which replaces none; path and list fit into it, and are terminated.
    unsafe {
        let page = libc::mmap(
            PAGE as *mut libc::c_void,
            LEN,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
            -1,
            0,
        );
        assert_eq!(page as usize, PAGE, "{}", io::Error::last_os_error());
        let file = page.cast::<c_char>().add(256);
        let path = path.to_bytes_with_nul();
        assert!(path.len() < 1024);
        ptr::copy_nonoverlapping(path.as_ptr(), file.cast(), path.len());
        let list = page.cast::<u8>().add(2048).cast::<*const c_char>();
        *list = file;
        println!("{:x} {:x}", file as usize, list as usize);
        io::stdin()
            .read_to_end(&mut Vec::new())
            .expect("it can be read");
        libc::execve(file, list, environ);
    }
    panic!("exec failed: {}", io::Error::last_os_error());
}

fn c(text: OsString) -> CString {
    CString::new(text.into_vec()).expect("there is no NUL in it")
}

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let how = arguments.next().expect("it is told how");
    let program = arguments.next().expect("it is told what to exec");
    let path = Path::new(&program);
    let arguments: Vec<_> = arguments.map(c).collect();
    let mut argv: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    argv.push(ptr::null());

    let at = |name: &CStr, flags| {
        // SAFETY: the name and the lists are terminated.
        unsafe {
            libc::execveat(
                DESCRIPTOR,
                name.as_ptr(),
                argv.as_ptr().cast(),
                environ.cast(),
                flags,
            )
        };
    };
    match how.to_str() {
        Some("path") => {
            let path = c(program.clone());
            // SAFETY: the path and the list of arguments are terminated.
            unsafe { libc::execv(path.as_ptr(), argv.as_ptr()) };
        }
        Some("descriptor") => {
            keep(&open(path));
            // SAFETY: the lists are terminated.
            unsafe { libc::fexecve(DESCRIPTOR, argv.as_ptr(), environ) };
        }
        Some("empty-path") => {
            keep(&open(path));
            at(c"", libc::AT_EMPTY_PATH);
        }
        Some("folder") => {
            keep(&open(path.parent().expect("it is in a folder")));
            let name = path.file_name().expect("it has a name").to_owned();
            at(&c(name), 0);
        }
        #[cfg(target_arch = "x86_64")]
        Some("32-bit") => {
            let error = of_32_bits(&c(program.clone()), &arguments);
            panic!("exec failed: {error}");
        }
        Some("forged") => forged(&arguments[0]),
        Some("memory") => {
            keep(&in_memory(path));
            at(c"", libc::AT_EMPTY_PATH);
        }
        other => panic!("unknown argument {other:?}"),
    }
    panic!("exec failed: {}", io::Error::last_os_error());
}
