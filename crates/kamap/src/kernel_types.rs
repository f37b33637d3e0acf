//! The types of the running kernel that the programs refer to.
//!
//! For each type of the programs, libbpf looks through all types of the kernel (over 100,000) for those of
//! the same name. That took a quarter of a start. So it gets BTF that has only those, with what they
//! contain.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use libbpf_sys::{
    BTF_KIND_ARRAY as ARRAY, BTF_KIND_CONST as CONST, BTF_KIND_DATASEC as DATASEC,
    BTF_KIND_DECL_TAG as DECL_TAG, BTF_KIND_ENUM as ENUM, BTF_KIND_ENUM64 as ENUM64,
    BTF_KIND_FLOAT as FLOAT, BTF_KIND_FUNC as FUNC, BTF_KIND_FUNC_PROTO as FUNC_PROTO,
    BTF_KIND_FWD as FWD, BTF_KIND_INT as INT, BTF_KIND_PTR as PTR, BTF_KIND_RESTRICT as RESTRICT,
    BTF_KIND_STRUCT as STRUCT, BTF_KIND_TYPE_TAG as TYPE_TAG, BTF_KIND_TYPEDEF as TYPEDEF,
    BTF_KIND_UNION as UNION, BTF_KIND_VAR as VAR, BTF_KIND_VOLATILE as VOLATILE,
};

const MAGIC: u16 = libbpf_sys::BTF_MAGIC as u16;
const VERSION: u8 = libbpf_sys::BTF_VERSION as u8;
const HEADER: usize = size_of::<libbpf_sys::btf_header>();

/// Bytes of a type, without what follows some kinds.
const TYPE: usize = size_of::<libbpf_sys::btf_type>();

/// BTF, as a kernel or a compiler of this machine writes it.
pub(crate) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins; that of number 0, `void`, is none.
    at: Vec<u32>,
}

/// Which bytes of a part are its name, and which are types.
#[derive(Clone, Copy)]
struct Fields {
    name: Option<usize>,
    types: &'static [usize],
}

/// A type, without what follows it.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    info: u32,
    /// Its size, or the type that it refers to.
    size_or_type: u32,
}

impl Type {
    fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    fn len(self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// Whether it refers to another type.
    fn refers(self) -> bool {
        let kinds = [
            PTR, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC_PROTO, TYPE_TAG,
        ];
        kinds.contains(&self.kind())
    }

    /// How many parts follow it, how many bytes each has, and what these are.
    fn parts(self) -> Option<(usize, usize, Fields)> {
        let fields = |name, types| Fields { name, types };
        Some(match self.kind() {
            INT | VAR | DECL_TAG => (1, 4, fields(None, &[])),
            ARRAY => (1, 12, fields(None, &[0, 4])),
            STRUCT | UNION => (self.len(), 12, fields(Some(0), &[4])),
            ENUM => (self.len(), 8, fields(Some(0), &[])),
            ENUM64 => (self.len(), 12, fields(Some(0), &[])),
            FUNC_PROTO => (self.len(), 8, fields(Some(0), &[4])),
            DATASEC => (self.len(), 12, fields(None, &[0])),
            PTR | FWD | TYPEDEF | VOLATILE | CONST | RESTRICT | FUNC | FLOAT | TYPE_TAG => {
                (0, 0, fields(None, &[]))
            }
            _ => return None,
        })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

impl<'a> Btf<'a> {
    /// `None` if it is not as expected: a kind that is not known yet, for one.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let magic = u16::from_ne_bytes(*bytes.first_chunk()?);
        if magic != MAGIC {
            return None;
        }
        let header = number(bytes, 4)? as usize;
        let section = |offset, len| {
            let begin = header + number(bytes, offset)? as usize;
            bytes.get(begin..begin + number(bytes, len)? as usize)
        };
        let (types, strings) = (section(8, 12)?, section(16, 20)?);
        let mut btf = Self {
            types,
            strings,
            at: vec![0],
        };
        let mut at = 0;
        while at < types.len() {
            btf.at.push(at as u32);
            let (count, size, _) = btf.entry_at(at)?.parts()?;
            at += TYPE + count * size;
        }
        (at == types.len()).then_some(btf)
    }

    fn entry_at(&self, at: usize) -> Option<Type> {
        let entry: &[u8; TYPE] = self.types.get(at..)?.first_chunk()?;
        Some(Type {
            name: number(entry, 0)?,
            info: number(entry, 4)?,
            size_or_type: number(entry, 8)?,
        })
    }

    fn entry(&self, id: u32) -> Option<Type> {
        if id == 0 {
            return None;
        }
        self.entry_at(*self.at.get(id as usize)? as usize)
    }

    /// What follows the entry of a type.
    fn rest(&self, id: u32, entry: Type) -> Option<&'a [u8]> {
        let (count, size, _) = entry.parts()?;
        let begin = *self.at.get(id as usize)? as usize + TYPE;
        self.types.get(begin..begin + count * size)
    }

    fn name(&self, offset: u32) -> Option<&'a [u8]> {
        let name = self.strings.get(offset as usize..)?;
        Some(&name[..name.iter().position(|&byte| byte == 0)?])
    }

    /// Types with a name that programs can refer to.
    fn named(&self) -> impl Iterator<Item = (u32, Type)> {
        let ids = 1..self.at.len() as u32;
        ids.filter_map(|id| Some((id, self.entry(id)?)))
            .filter(|(_, entry)| {
                let kinds = [STRUCT, UNION, ENUM, ENUM64, TYPEDEF, FWD];
                entry.name != 0 && kinds.contains(&entry.kind())
            })
    }

    /// The names of the types that the programs of an object refer to, if this is its BTF. What follows
    /// three underscores tells those of one name apart.
    pub(crate) fn names(&self) -> HashSet<&'a [u8]> {
        let names = self.named().filter_map(|(_, entry)| self.name(entry.name));
        names
            .map(|name| {
                let flavor = name.windows(3).position(|three| three == b"___");
                &name[..flavor.filter(|&at| at > 0).unwrap_or(name.len())]
            })
            .collect()
    }

    /// The number of the struct of this name.
    pub(crate) fn find_struct(&self, name: &str) -> Option<u32> {
        self.find(STRUCT, name)
    }

    /// Whether there is a typedef of this name.
    pub(crate) fn has_typedef(&self, name: &str) -> bool {
        self.find(TYPEDEF, name).is_some()
    }

    fn find(&self, kind: u32, name: &str) -> Option<u32> {
        let mut of_kind = self.named().filter(|(_, entry)| entry.kind() == kind);
        let found = of_kind.find(|(_, entry)| self.name(entry.name) == Some(name.as_bytes()));
        found.map(|(id, _)| id)
    }

    /// BTF of the types of these names, with what they contain. What pointers point to is left out,
    /// but for the parameters of functions.
    pub(crate) fn reduced(&self, names: &HashSet<&[u8]>) -> Option<Vec<u8>> {
        let roots = self.named().filter(|(_, entry)| {
            self.name(entry.name)
                .is_some_and(|name| names.contains(name))
        });
        let mut reduction = Reduction::new(self);
        for (id, _) in roots {
            reduction.take(id);
        }
        reduction.write()
    }
}

/// What is taken of some BTF.
struct Reduction<'a> {
    btf: &'a Btf<'a>,
    /// Those whose contents are wanted.
    whole: HashSet<u32>,
    /// The new number of each, and the old ones in the order of these.
    ids: HashMap<u32, u32>,
    order: Vec<u32>,
}

impl<'a> Reduction<'a> {
    fn new(btf: &'a Btf<'a>) -> Self {
        Self {
            btf,
            whole: HashSet::new(),
            ids: HashMap::new(),
            order: Vec::new(),
        }
    }

    /// Takes a type and what it contains.
    fn take(&mut self, id: u32) {
        let mut left = vec![id];
        while let Some(id) = left.pop() {
            let Some(entry) = self.btf.entry(id) else {
                continue;
            };
            if !self.whole.insert(id) {
                continue;
            }
            self.number(id);
            left.extend(self.contained(id, entry));
        }
    }

    fn number(&mut self, id: u32) {
        let next = self.order.len() as u32 + 1;
        if let Entry::Vacant(vacant) = self.ids.entry(id) {
            vacant.insert(next);
            self.order.push(id);
        }
    }

    /// The types that belong to one. Of pointers these are functions alone, which are compared by
    /// what they take.
    fn contained(&mut self, id: u32, entry: Type) -> Vec<u32> {
        let mut types = Vec::new();
        match entry.kind() {
            PTR => {
                let to = self.btf.entry(entry.size_or_type).map(Type::kind);
                match to {
                    Some(FUNC_PROTO) => types.push(entry.size_or_type),
                    Some(STRUCT | UNION) => self.number(entry.size_or_type),
                    _ => {}
                }
            }
            _ if entry.refers() => types.push(entry.size_or_type),
            _ => {}
        }
        if let Some((_, size, fields)) = entry.parts()
            && let Some(rest) = self.btf.rest(id, entry)
            && size > 0
        {
            for part in rest.chunks(size) {
                types.extend(fields.types.iter().filter_map(|&at| number(part, at)));
            }
        }
        types
    }

    fn write(&self) -> Option<Vec<u8>> {
        let mut types = Vec::new();
        let mut strings = vec![0];
        let mut known = HashMap::from([(0, 0)]);
        let mut name = |offset: u32| {
            if let Some(&known) = known.get(&offset) {
                return Some(known);
            }
            let at = strings.len() as u32;
            strings.extend_from_slice(self.btf.name(offset)?);
            strings.push(0);
            known.insert(offset, at);
            Some(at)
        };
        let mapped = |id: u32| self.ids.get(&id).copied().unwrap_or_default();
        for &id in &self.order {
            let entry = self.btf.entry(id)?;
            let is_whole = self.whole.contains(&id);
            let info = match is_whole {
                true => entry.info,
                // Its name and size are all that is known of it.
                false => entry.kind() << 24,
            };
            let size_or_type = match entry.refers() {
                true => mapped(entry.size_or_type),
                false => entry.size_or_type,
            };
            for field in [name(entry.name)?, info, size_or_type] {
                types.extend_from_slice(&field.to_ne_bytes());
            }
            let (_, size, fields) = entry.parts()?;
            if !is_whole || size == 0 {
                continue;
            }
            for part in self.btf.rest(id, entry)?.chunks(size) {
                for at in (0..size).step_by(4) {
                    let field = number(part, at)?;
                    let field = match () {
                        () if fields.types.contains(&at) => mapped(field),
                        () if fields.name == Some(at) => name(field)?,
                        () => field,
                    };
                    types.extend_from_slice(&field.to_ne_bytes());
                }
            }
        }
        let mut btf = Vec::with_capacity(HEADER + types.len() + strings.len());
        btf.extend_from_slice(&MAGIC.to_ne_bytes());
        btf.extend_from_slice(&[VERSION, 0]);
        let (types_len, strings_len) = (types.len() as u32, strings.len() as u32);
        for field in [HEADER as u32, 0, types_len, types_len, strings_len] {
            btf.extend_from_slice(&field.to_ne_bytes());
        }
        btf.extend(types);
        btf.extend(strings);
        Some(btf)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What a program can find out of a type: the place and the kind of each member, and the names and
    /// the values of an enum.
    fn describe(btf: &Btf<'_>, id: u32, path: &str, lines: &mut Vec<String>) {
        let Some(entry) = btf.entry(id) else {
            return lines.push(format!("{path}: nothing"));
        };
        let name = |part: &[u8]| {
            let name = number(part, 0).and_then(|offset| btf.name(offset));
            String::from_utf8_lossy(name.expect("it has a name")).into_owned()
        };
        let (_, size, _) = entry.parts().expect("its kind is known");
        let rest = btf.rest(id, entry).expect("it is whole");
        let parts = rest.chunks(size.max(1));
        let part_type = |part| number(part, 4).expect("it is whole");
        match entry.kind() {
            STRUCT | UNION => {
                lines.push(format!("{path}: {} bytes", entry.size_or_type));
                for part in parts {
                    let path = format!("{path}.{}@{:?}", name(part), number(part, 8));
                    describe(btf, part_type(part), &path, lines);
                }
            }
            ARRAY => {
                let path = format!("{path}[{:?}]", number(rest, 8));
                describe(btf, number(rest, 0).expect("it is whole"), &path, lines);
            }
            ENUM | ENUM64 => {
                let values = parts.map(|part| format!("{}={:?}", name(part), &part[4..]));
                lines.push(format!("{path}: {}", values.collect::<Vec<_>>().join(" ")));
            }
            TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => {
                describe(btf, entry.size_or_type, path, lines);
            }
            PTR => {
                let to = btf.entry(entry.size_or_type);
                match to.filter(|to| to.kind() == FUNC_PROTO) {
                    Some(to) => {
                        let path = format!("{path} of {} parameters", to.len());
                        let rest = btf.rest(entry.size_or_type, to).expect("it is whole");
                        for part in rest.chunks(8) {
                            let to = btf.entry(part_type(part));
                            let pointee = to.filter(|to| to.kind() == PTR);
                            let pointee = pointee.and_then(|to| btf.entry(to.size_or_type));
                            let is_record =
                                pointee.is_some_and(|to| [STRUCT, UNION].contains(&to.kind()));
                            let kind = to.map(Type::kind);
                            lines.push(format!("{path}: {kind:?}, a record: {is_record}"));
                        }
                    }
                    None => lines.push(format!("{path}: a pointer")),
                }
            }
            kind => lines.push(format!("{path}: {kind}, {}", entry.size_or_type)),
        }
    }

    /// Each type of these names, described.
    fn described(btf: &Btf<'_>, names: &HashSet<&[u8]>) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        for (id, entry) in btf.named() {
            let name = btf.name(entry.name).expect("it has one");
            if names.contains(name) {
                let mut lines = vec![format!("{} {name:?}", entry.kind())];
                describe(btf, id, "", &mut lines);
                all.push(lines);
            }
        }
        all.sort_unstable();
        all
    }

    #[test]
    #[cfg_attr(miri, ignore = "the kernel has many types")]
    fn what_programs_refer_to_is_as_in_the_whole() {
        let bytes = fs::read("/sys/kernel/btf/vmlinux").expect("this kernel has types");
        let kernel = Btf::parse(&bytes).expect("they are known");
        let names = [
            "task_struct",
            "signal_struct",
            "mm_struct",
            "dentry",
            "mount",
            "cgroup",
            "rq",
            "bpf_func_id",
            "btf_trace_sched_process_exit",
            "u32",
        ];
        let names = names.map(str::as_bytes).into();
        let reduced = kernel.reduced(&names).expect("it can be reduced");
        assert!(reduced.len() < bytes.len() / 10, "{}", reduced.len());
        let reduced = Btf::parse(&reduced).expect("it is BTF");
        let found = described(&reduced, &names);
        assert!(found.len() >= 10 && found.concat().len() > 1000);
        assert!(found == described(&kernel, &names));
        assert!(reduced.find_struct("task_struct").is_some());
        assert!(reduced.has_typedef("u32") && !reduced.has_typedef("task_struct"));
    }

    #[test]
    fn what_tells_types_of_one_name_apart_is_no_part_of_it() {
        let mut types = Vec::new();
        let mut strings = vec![0];
        for name in ["cgroup___ids", "___x", "pid"] {
            let at = strings.len() as u32;
            strings.extend_from_slice(name.as_bytes());
            strings.push(0);
            for field in [at, STRUCT << 24, 0] {
                types.extend_from_slice(&field.to_ne_bytes());
            }
        }
        let types = &types;
        let btf = Btf {
            types,
            strings: &strings,
            at: vec![0, 0, 12, 24],
        };
        let names = ["cgroup", "___x", "pid"].map(str::as_bytes);
        assert_eq!(btf.names(), names.into());
    }

    #[test]
    #[cfg_attr(miri, ignore = "the kernel has many types")]
    fn what_is_no_btf_is_refused() {
        let bytes = fs::read("/sys/kernel/btf/vmlinux").expect("this kernel has types");
        assert!(Btf::parse(&[]).is_none());
        assert!(Btf::parse(&bytes[1..]).is_none());
        assert!(Btf::parse(&bytes[..bytes.len() / 2]).is_none());
        let mut unknown = bytes[..HEADER].to_vec();
        for (at, field) in [(12, 12), (16, 12), (20, 1)] {
            unknown[at..at + 4].copy_from_slice(&u32::to_ne_bytes(field));
        }
        for field in [0, 31 << 24, 0] {
            unknown.extend_from_slice(&u32::to_ne_bytes(field));
        }
        unknown.push(0);
        assert!(Btf::parse(&unknown).is_none(), "a kind that is not known");
    }
}
