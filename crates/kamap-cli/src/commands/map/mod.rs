//! `kamap map`: any BPF map of the machine.

mod args;
mod render;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use anyhow::{Context, bail};
use kamap_bpf::{
    AnyMap, EntryTypes, Info, MapSpec, Refers, TypeSource, UpdateMode, open_program_id,
    open_program_pinned,
};

use crate::policy::errors::OutputError;
pub(crate) use args::MapArgs;
use args::{CreateArgs, MapCommand, Shown, UpdateArgs, Which, which};
use render::Entries;

/// Does what was asked for.
pub(crate) fn run(args: &MapArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        MapCommand::List { json } => list(*json)?,
        MapCommand::Show { map, json } => show(&map.open()?, *json)?,
        MapCommand::Create(args) => create(args)?,
        MapCommand::Update(args) => update(args)?,
        MapCommand::Lookup {
            map,
            key,
            shown,
            locked,
        } => lookup(&map.open()?, key.as_deref(), shown, *locked)?,
        MapCommand::Take {
            map,
            key,
            shown,
            locked,
        } => {
            let map = map.open()?;
            let types = types(&map, shown.hex)?;
            let key = key_of(&map, &types, key.as_deref())?;
            let value = map.take(&key, *locked)?;
            print_value(&map, &types, &key, value, shown)?;
        }
        MapCommand::Delete { map, key } => {
            let map = map.open()?;
            let key = types(&map, false)?.parse_key(key)?;
            if !map.remove(&key)? {
                return Err(no_such_key(&map));
            }
        }
        MapCommand::Next { map, key, shown } => next(&map.open()?, key.as_deref(), shown)?,
        MapCommand::Dump { map, shown } => dump(&map.open()?, shown)?,
        MapCommand::Pin { map, path } => map.open()?.pin(path)?,
        MapCommand::Unpin { path } => drop(AnyMap::unpin(path)?),
        MapCommand::Freeze { map } => map.open()?.freeze()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(json: bool) -> anyhow::Result<()> {
    let maps: Vec<Info> = AnyMap::all()?
        .map(|map| map.map(|map| map.info().clone()))
        .collect::<Result<_, _>>()?;
    if !json {
        return print(&render::table(&maps));
    }
    maps.iter().try_for_each(|map| print(&render::json(map)))
}

fn show(map: &AnyMap, json: bool) -> anyhow::Result<()> {
    print(&if json {
        render::json(map.info())
    } else {
        render::details(map.info(), map.types()?.source)
    })
}

fn create(args: &CreateArgs) -> anyhow::Result<()> {
    let inner = args.inner()?;
    let name = args.name();
    let spec = MapSpec::new(&name, args.entries)
        .flags(args.flags())
        .extra(args.extra);
    let spec = match &inner {
        Some(inner) => spec.inner(inner),
        None => spec,
    };
    let map = AnyMap::create(args.r#type, (args.key, args.value), &spec)?;
    map.pin(&args.path)?;
    if args.json {
        print(&render::json(map.info()))?;
    }
    Ok(())
}

fn update(args: &UpdateArgs) -> anyhow::Result<()> {
    let map = args.map.open()?;
    let types = types(&map, false)?;
    if !args.set.is_empty() {
        return set(&map, &types, args);
    }
    let (key, value) = match &args.value {
        Some(value) => (Some(args.key.as_str()), value),
        None => (None, &args.key),
    };
    let put = args.put();
    if map.key_len() == 0 && put != UpdateMode::Any {
        bail!(
            "map `{}` is of type `{}`, which has no keys to be absent or present",
            map.info().name,
            map.info().kind
        );
    }
    let key = key_of(&map, &types, key)?;
    let done = match map.info().kind.refers() {
        None => map.insert(&key, &types.parse_value(value)?, put, args.locked)?,
        Some(refers) => map.insert_file(&key, referred(&map, refers, value)?.as_fd(), put)?,
    };
    if !done {
        let name = &map.info().name;
        bail!(match put {
            UpdateMode::IfAbsent => format!("map `{name}` has this key already"),
            _ => format!("map `{name}` has no such key"),
        });
    }
    Ok(())
}

/// Changes parts of a value that is there.
fn set(map: &AnyMap, types: &EntryTypes, args: &UpdateArgs) -> anyhow::Result<()> {
    if map.info().kind.refers().is_some() {
        bail!(
            "map `{}` is of type `{}`, whose values have no parts",
            map.info().name,
            map.info().kind
        );
    }
    let key = key_of(map, types, Some(&args.key))?;
    let Some(mut value) = map.get(&key, args.locked)? else {
        return Err(no_such_key(map));
    };
    for assignment in &args.set {
        types.assign(&mut value, assignment)?;
    }
    // One that has gone meanwhile does not come back.
    if !map.insert(&key, &value, UpdateMode::IfPresent, args.locked)? {
        return Err(no_such_key(map));
    }
    Ok(())
}

/// Opens what a value is to refer to.
fn referred(map: &AnyMap, refers: Refers, value: &str) -> anyhow::Result<OwnedFd> {
    let which = || which(value).map_err(anyhow::Error::msg);
    Ok(match refers {
        Refers::Maps => which()?.open()?.as_fd().try_clone_to_owned()?,
        Refers::Programs => match which()? {
            Which::Id(id) => open_program_id(id)?,
            Which::Pin(path) => open_program_pinned(path)?,
            Which::Name(_) => bail!("value: expected the ID or path of a program, found `{value}`"),
        },
        Refers::Cgroups => File::open(value)
            .with_context(|| format!("value: no folder of a cgroup: `{value}`"))?
            .into(),
        _ => bail!(
            "map `{}` is of type `{}`: only the process that has an event or socket can put it in",
            map.info().name,
            map.info().kind
        ),
    })
}

fn lookup(map: &AnyMap, key: Option<&str>, shown: &Shown, locked: bool) -> anyhow::Result<()> {
    let types = types(map, shown.hex)?;
    if map.info().kind.is_bloom_filter() {
        let value = key.context("a value is needed, to be looked for")?;
        let value = types.parse_value(value)?;
        if !map.may_contain(&value)? {
            bail!("map `{}` does not have this value", map.info().name);
        }
        let mut entries = entries(&types, shown);
        return Ok(finish(entries.value(None, &value), entries)?);
    }
    let key = key_of(map, &types, key)?;
    let value = map.get(&key, locked)?;
    print_value(map, &types, &key, value, shown)
}

fn print_value(
    map: &AnyMap,
    types: &EntryTypes,
    key: &[u8],
    value: Option<Vec<u8>>,
    shown: &Shown,
) -> anyhow::Result<()> {
    let key = (!key.is_empty()).then_some(key);
    let value = match (value, key) {
        (Some(value), _) => value,
        (None, Some(_)) => return Err(no_such_key(map)),
        (None, None) => bail!("map `{}` is empty", map.info().name),
    };
    let mut entries = entries(types, shown);
    Ok(finish(entries.value(key, &value), entries)?)
}

fn next(map: &AnyMap, key: Option<&str>, shown: &Shown) -> anyhow::Result<()> {
    let types = types(map, shown.hex)?;
    let key = key.map(|key| types.parse_key(key)).transpose()?;
    let Some(next) = map.next_key(key.as_deref())? else {
        bail!("map `{}` has no more keys", map.info().name);
    };
    let mut entries = entries(&types, shown);
    Ok(finish(entries.key(&next), entries)?)
}

fn dump(map: &AnyMap, shown: &Shown) -> anyhow::Result<()> {
    let types = types(map, shown.hex)?;
    let mut entries = entries(&types, shown);
    let walked = map.walk(|key, value| match entries.entry(key, value) {
        Ok(()) => ControlFlow::Continue(()),
        Err(err) => ControlFlow::Break(err),
    });
    // What has come before an error is shown as well.
    let written = match &walked {
        Ok(ControlFlow::Break(_)) => Ok(()),
        _ => finish(Ok(()), entries),
    };
    if let ControlFlow::Break(err) = walked? {
        return Err(OutputError(err).into());
    }
    Ok(written?)
}

/// Lines for entries, to standard output.
fn entries<'a>(
    types: &'a EntryTypes,
    shown: &Shown,
) -> Entries<'a, BufWriter<io::StdoutLock<'static>>> {
    Entries {
        out: BufWriter::new(io::stdout().lock()),
        types,
        json: shown.json,
    }
}

/// Writes what is still to be written, if all before was.
fn finish<W: Write>(
    written: io::Result<()>,
    mut entries: Entries<'_, W>,
) -> Result<(), OutputError> {
    written
        .and_then(|()| entries.out.flush())
        .map_err(OutputError)
}

fn print(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{text}").map_err(OutputError)?;
    Ok(())
}

/// What the bytes of the map mean. Where that may not be known, says so.
fn types(map: &AnyMap, hex: bool) -> anyhow::Result<EntryTypes> {
    if hex {
        return Ok(map.plain_types()?);
    }
    let types = map.types()?;
    let name = &map.info().name;
    let unknown = match types.source {
        TypeSource::NotPermitted => {
            format!("reading the BTF of map `{name}` needs CAP_SYS_ADMIN: its types are unknown")
        }
        TypeSource::NoKernelBtf => format!(
            "/sys/kernel/btf/vmlinux does not have the type of map `{name}`, which can be that of a \
             kernel module: it is unknown"
        ),
        _ => return Ok(types),
    };
    // Where standard error is closed, the bytes have to do.
    let _ = writeln!(io::stderr(), "kamap: {unknown}");
    Ok(types)
}

/// The key, where the map has keys.
fn key_of(map: &AnyMap, types: &EntryTypes, key: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let info = map.info();
    match key {
        Some(_) if map.key_len() == 0 => {
            bail!(
                "map `{}` is of type `{}`, which has no keys",
                info.name,
                info.kind
            )
        }
        Some(key) => Ok(types.parse_key(key)?),
        None if map.key_len() == 0 => Ok(Vec::new()),
        None => bail!(
            "map `{}` is of type `{}`: a key is needed",
            info.name,
            info.kind
        ),
    }
}

fn no_such_key(map: &AnyMap) -> anyhow::Error {
    anyhow::anyhow!("map `{}` has no such key", map.info().name)
}
