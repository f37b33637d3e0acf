//! What the running kernel offers for BPF.

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::ptr::NonNull;

use libbpf_sys as sys;

use crate::MapType;
use crate::btf::kernel_helpers;
use crate::capabilities::{self, BPF, NET_ADMIN, PERFMON};

/// Finds out what the running kernel offers for BPF, by trying it.
///
/// It never fails: if something cannot be determined, the answer is [`Support::Unknown`] with the
/// reason.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Why this process may be refused what the kernel offers; `None` if that cannot happen.
    hindered: Option<String>,
}

/// Whether the kernel offers something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Support {
    /// It can be used.
    Offered,
    /// This kernel does not have it.
    Absent,
    /// It could not be determined, for this reason.
    Unknown(String),
}

/// A program type (`enum bpf_prog_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramType(u32);

/// A helper: a kernel function that programs can call (`enum bpf_func_id`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Helper {
    /// Its ID.
    pub id: u32,
    /// Its name in the kernel's BTF, such as `map_lookup_elem`.
    pub name: String,
}

impl ProgramType {
    /// All types that libbpf knows.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..sys::__MAX_BPF_PROG_TYPE).map(Self)
    }

    /// The type with this name, such as `kprobe`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|program| program.name() == Some(name))
    }

    /// Its name, such as `kprobe`.
    pub fn name(self) -> Option<&'static str> {
        // SAFETY: takes a number; returns null or a string constant of libbpf.
        let name = unsafe { NonNull::new(sys::libbpf_bpf_prog_type_str(self.0).cast_mut())? };
        // SAFETY: not null, so a string constant.
        unsafe { CStr::from_ptr(name.as_ptr()) }.to_str().ok()
    }
}

/// The name, or the number if there is none.
impl fmt::Display for ProgramType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "type {}", self.0),
        }
    }
}

impl Probe {
    /// Checks the capabilities of this process. A refusal by the kernel is only conclusive with
    /// `CAP_BPF`, `CAP_PERFMON` and `CAP_NET_ADMIN`, or with `CAP_SYS_ADMIN`, in the initial user
    /// namespace.
    pub fn new() -> Self {
        Self {
            hindered: hindrance(),
        }
    }

    /// Whether programs of this type can be loaded.
    pub fn program_type(&self, program: ProgramType) -> Support {
        // SAFETY: takes a number; the options may be null.
        let ret = unsafe { sys::libbpf_probe_bpf_prog_type(program.0, std::ptr::null()) };
        self.answer(ret, &io::Error::last_os_error())
    }

    /// Whether maps of this type can be created.
    pub fn map_type(&self, map: MapType) -> Support {
        // SAFETY: takes a number; the options may be null.
        let ret = unsafe { sys::libbpf_probe_bpf_map_type(map.0, std::ptr::null()) };
        self.answer(ret, &io::Error::last_os_error())
    }

    /// All helpers in the kernel's BTF; empty without BTF.
    pub fn helpers(&self) -> Vec<Helper> {
        let helper = |(id, name)| Helper { id, name };
        kernel_helpers().into_iter().map(helper).collect()
    }

    /// Whether programs of a type that [is offered](Self::program_type) can call this helper.
    pub fn helper(&self, program: ProgramType, helper: &Helper) -> Support {
        // SAFETY: takes numbers; the options may be null.
        let ret = unsafe { sys::libbpf_probe_bpf_helper(program.0, helper.id, std::ptr::null()) };
        self.answer(ret, &io::Error::last_os_error())
    }

    /// Interprets libbpf's answer `ret`. `refusal` is errno after the call: libbpf treats most
    /// errors of the kernel as "absent", and leaves them there.
    fn answer(&self, ret: i32, refusal: &io::Error) -> Support {
        let unknown = |why: &str| Support::Unknown(why.to_owned());
        match &self.hindered {
            _ if ret > 0 => Support::Offered,
            _ if ret == -libc::EOPNOTSUPP => unknown("there is no way to try it"),
            Some(why) => unknown(why),
            None if ret < 0 => unknown(&io::Error::from_raw_os_error(-ret).to_string()),
            None if refusal.raw_os_error() == Some(libc::EPERM) => {
                unknown("the kernel does not permit it, although the capabilities are there")
            }
            None => Support::Absent,
        }
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

/// Why the kernel may refuse this process what it offers.
fn hindrance() -> Option<String> {
    /// Fixed inode number of the initial user namespace (linux/proc_ns.h).
    const INITIAL: &str = "user:[4026531837]";
    match capabilities::missing(&[BPF, PERFMON, NET_ADMIN]) {
        Ok(missing) if missing.is_empty() => {}
        Ok(missing) => return Some(format!("needs {}", missing.join(" and "))),
        Err(err) => return Some(format!("failed to read /proc/self/status: {err}")),
    }
    // The file does not exist if the kernel has no user namespaces.
    match std::fs::read_link("/proc/self/ns/user") {
        Ok(found) if found.as_os_str() != INITIAL => {
            Some("this is a user namespace of its own".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "calls libbpf")]
    fn each_type_has_a_name_of_its_own() {
        assert!(ProgramType::all().count() > 30);
        for program in ProgramType::all() {
            let name = program.name().expect("libbpf knows it");
            assert_eq!(ProgramType::from_name(name), Some(program));
        }
    }

    #[test]
    fn a_refusal_means_nothing_where_all_is_refused() {
        let invalid = io::Error::from_raw_os_error(libc::EINVAL);
        let denied = io::Error::from_raw_os_error(libc::EPERM);
        let unknown = |support, why: &str| match support {
            Support::Unknown(told) => assert!(told.contains(why), "{told}"),
            known => panic!("{known:?} is known"),
        };
        let free = Probe { hindered: None };
        assert_eq!(free.answer(1, &denied), Support::Offered);
        assert_eq!(free.answer(0, &invalid), Support::Absent);
        unknown(free.answer(0, &denied), "not permit");
        unknown(free.answer(-libc::ENOMEM, &invalid), "memory");
        unknown(free.answer(-libc::EOPNOTSUPP, &invalid), "no way");
        let hindered = Probe {
            hindered: Some("needs CAP_BPF".to_owned()),
        };
        assert_eq!(hindered.answer(1, &denied), Support::Offered);
        unknown(hindered.answer(0, &denied), "CAP_BPF");
        unknown(hindered.answer(0, &invalid), "CAP_BPF");
        unknown(hindered.answer(-libc::EPERM, &denied), "CAP_BPF");
    }
}
