//! Maps with BTF, made without the library. All panic if the kernel refuses the map.

use std::ffi::CString;
use std::os::fd::{FromRawFd, OwnedFd};

use kamap_bpf::AnyMap;
use libbpf_rs::libbpf_sys as sys;

/// A hash map from `__u32` to
///
/// ```c
/// struct process {
///     __u32 pid;
///     char name[8];
///     enum { IDLE, RUNNING, DEAD = 7 } state;
///     unsigned short ports[2];
///     struct { _Bool alive : 1; __u32 nice : 5; };   // unless `locked`
///     struct bpf_spin_lock lock;                     // if `locked`
/// };
/// ```
///
/// # Panics
///
/// If the kernel refuses it.
#[track_caller]
pub fn processes(kind: &str, locked: bool) -> AnyMap {
    let mut btf = Btf::new();
    let int = btf.int("unsigned int", 4, 0);
    let short = btf.int("unsigned short", 2, 0);
    let char = btf.int("char", 1, sys::BTF_INT_SIGNED);
    let bool = btf.int("_Bool", 1, sys::BTF_INT_BOOL);
    let name = btf.array(char, 8, int);
    let ports = btf.array(short, 2, int);
    let state = btf.enumeration("state", &[("IDLE", 0), ("RUNNING", 1), ("DEAD", 7)]);
    let mut members = vec![
        ("pid", int, 0, 0),
        ("name", name, 32, 0),
        ("state", state, 96, 0),
        ("ports", ports, 128, 0),
    ];
    // A struct can only have one of the two: bitfields, or a lock.
    let last = if locked {
        (
            "lock",
            btf.structure("bpf_spin_lock", 4, &[("val", int, 0, 0)]),
        )
    } else {
        let bits = [("alive", bool, 0, 1), ("nice", int, 1, 5)];
        ("", btf.structure("", 4, &bits))
    };
    members.push((last.0, last.1, 160, 0));
    let size = 24;
    let process = btf.structure("process", size, &members);
    btf.map(kind, (4, int), (size, process), 16)
}

/// A map from `int` to `int`.
///
/// # Panics
///
/// If the kernel refuses it.
#[track_caller]
pub fn of_ints(kind: &str) -> AnyMap {
    let mut btf = Btf::new();
    let int = btf.int("int", 4, sys::BTF_INT_SIGNED);
    btf.map(kind, (4, int), (4, int), 16)
}

/// The variables of a program, as a linker arranges them if two files have a `counter`:
///
/// ```c
/// static __u32 counter;
/// static struct { __u8 x, y; __u32 z; } position;     // with padding
/// static __u32 counter;
/// __u32 f(void) { static __u32 counter; return counter++; }
/// ```
///
/// # Panics
///
/// If the kernel refuses it.
#[track_caller]
pub fn variables() -> AnyMap {
    let mut btf = Btf::new();
    let int = btf.int("unsigned int", 4, 0);
    let byte = btf.int("unsigned char", 1, 0);
    let position = btf.structure(
        "",
        8,
        &[("x", byte, 0, 0), ("y", byte, 8, 0), ("z", int, 32, 0)],
    );
    let section = btf.section(
        ".bss",
        20,
        &[
            ("counter", int, 0, 4),
            ("position", position, 4, 8),
            ("counter", int, 12, 4),
            ("f.counter", int, 16, 4),
        ],
    );
    btf.map("array", (4, 0), (20, section), 1)
}

/// The variables `__u64 total; __u32 count;` of a program, and with `longer` also `__u32 last`. The
/// section ends with the last variable.
///
/// # Panics
///
/// If the kernel refuses it.
#[track_caller]
pub fn section(longer: bool) -> AnyMap {
    let mut btf = Btf::new();
    let int = btf.int("unsigned int", 4, 0);
    let long = btf.int("unsigned long long", 8, 0);
    let mut variables = vec![("total", long, 0, 8), ("count", int, 8, 4)];
    let mut size = 12;
    if longer {
        variables.push(("last", int, 12, 4));
        size = 16;
    }
    let section = btf.section(".bss", size, &variables);
    btf.map("array", (4, 0), (size, section), 1)
}

/// A hash map from `__u32` to
/// `struct { struct { __u32 x, y; }; struct { __u32 x, y; }; }`.
///
/// # Panics
///
/// If the kernel refuses it.
#[track_caller]
pub fn of_twins() -> AnyMap {
    let mut btf = Btf::new();
    let int = btf.int("unsigned int", 4, 0);
    let twin = btf.structure("", 8, &[("x", int, 0, 0), ("y", int, 32, 0)]);
    let twins = btf.structure("twins", 16, &[("", twin, 0, 0), ("", twin, 64, 0)]);
    btf.map("hash", (4, int), (16, twins), 16)
}

struct Btf(*mut sys::btf);

impl Btf {
    fn new() -> Self {
        // SAFETY: here and in all of this module, pointers are of BTF that lives and of C
        // strings, and numbers are types that have been added before.
        Self(unsafe { sys::btf__new_empty() })
    }

    /// Returns the ID of the new type. `add` gets the BTF and `name`.
    #[track_caller]
    fn add(
        &mut self,
        name: &str,
        add: impl FnOnce(*mut sys::btf, *const libc::c_char) -> i32,
    ) -> i32 {
        let name = CString::new(name).expect("it has no zero");
        let id = add(self.0, name.as_ptr());
        assert!(id >= 0, "it is valid: {id}");
        id
    }

    #[track_caller]
    fn int(&mut self, name: &str, size: u64, encoding: u32) -> i32 {
        // SAFETY: see `new`.
        self.add(name, |btf, name| unsafe {
            sys::btf__add_int(btf, name, size, encoding as i32)
        })
    }

    #[track_caller]
    fn array(&mut self, of: i32, len: u32, index: i32) -> i32 {
        // SAFETY: see `new`.
        self.add("", |btf, _| unsafe {
            sys::btf__add_array(btf, index, of, len)
        })
    }

    #[track_caller]
    fn enumeration(&mut self, name: &str, names: &[(&str, i64)]) -> i32 {
        // SAFETY: see `new`.
        let id = self.add(name, |btf, name| unsafe {
            sys::btf__add_enum(btf, name, 4)
        });
        for (name, value) in names {
            // SAFETY: see `new`.
            self.add(name, |btf, name| unsafe {
                sys::btf__add_enum_value(btf, name, *value)
            });
        }
        id
    }

    #[track_caller]
    fn structure(&mut self, name: &str, size: u32, members: &[(&str, i32, u32, u32)]) -> i32 {
        // SAFETY: see `new`.
        let id = self.add(name, |btf, name| unsafe {
            sys::btf__add_struct(btf, name, size)
        });
        for (name, ty, offset, bits) in members {
            // SAFETY: see `new`.
            self.add(name, |btf, name| unsafe {
                sys::btf__add_field(btf, name, *ty, *offset, *bits)
            });
        }
        id
    }

    /// A section of variables, each with name, type, offset and size.
    #[track_caller]
    fn section(&mut self, name: &str, size: u32, variables: &[(&str, i32, u32, u32)]) -> i32 {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, ty, offset, size)| {
                // SAFETY: see `new`.
                let id = self.add(name, |btf, name| unsafe {
                    sys::btf__add_var(btf, name, sys::BTF_VAR_STATIC as i32, *ty)
                });
                (id, *offset, *size)
            })
            .collect();
        // SAFETY: see `new`.
        let section = self.add(name, |btf, name| unsafe {
            sys::btf__add_datasec(btf, name, size)
        });
        for (id, offset, size) in variables {
            // SAFETY: see `new`.
            self.add("", |btf, _| unsafe {
                sys::btf__add_datasec_var_info(btf, id, offset, size)
            });
        }
        section
    }

    /// Creates a map. Keys and values are given by size and type.
    #[track_caller]
    fn map(
        self,
        kind: &str,
        (key_size, key): (u32, i32),
        (value_size, value): (u32, i32),
        max_entries: u32,
    ) -> AnyMap {
        let kind = kamap_bpf::MapType::from_name(kind).expect("there is such a type");
        // SAFETY: see `new`; the options have their size.
        let fd = unsafe {
            assert_eq!(sys::btf__load_into_kernel(self.0), 0, "the kernel takes it");
            let opts = sys::bpf_map_create_opts {
                sz: size_of::<sys::bpf_map_create_opts>() as sys::size_t,
                btf_fd: sys::btf__fd(self.0).cast_unsigned(),
                btf_key_type_id: key.cast_unsigned(),
                btf_value_type_id: value.cast_unsigned(),
                ..Default::default()
            };
            let name = c"typed".as_ptr();
            sys::bpf_map_create(kind.0, name, key_size, value_size, max_entries, &opts)
        };
        assert!(fd >= 0, "it can be made: {fd}");
        // SAFETY: it has just been made, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        AnyMap::from_fd(fd).expect("it is a map")
    }
}

impl Drop for Btf {
    fn drop(&mut self) {
        // SAFETY: see `new`; it is not used any more.
        unsafe { sys::btf__free(self.0) };
    }
}
