//! `kamap probe`: what this kernel offers, and whether kamap runs on it.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use kamap::Tracker;
use kamap_bpf::MapType;
use kamap_bpf::{Helper, Probe, ProgramType, Support};
use serde::Serialize;

use crate::OutputError;
use crate::args::ProbeArgs;
use crate::render::VERSION;

/// Tries and tells.
pub(crate) fn run(args: &ProbeArgs) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let found = Found::new(args);
    let written = if args.json {
        found.json(&mut out)
    } else {
        found.text(&mut out)
    };
    written.and_then(|()| out.flush()).map_err(OutputError)?;
    Ok(ExitCode::SUCCESS)
}

/// What has been found.
struct Found {
    /// Why kamap does not run, if it does not.
    hindrance: Option<String>,
    programs: Vec<(ProgramType, Support, Helpers)>,
    maps: Vec<(MapType, Support)>,
}

/// The helpers of a program type; none where they are unknown or not asked for.
type Helpers = Option<Vec<String>>;

impl Found {
    fn new(args: &ProbeArgs) -> Self {
        let probe = Probe::new();
        let all = probe.helpers();
        let programs = ProgramType::all().map(|program| {
            let support = probe.program_type(program);
            let wanted = args.program.is_empty() || args.program.contains(&program);
            // Of a type that cannot be loaded the kernel tells nothing.
            let helpers = match support {
                Support::Offered if wanted => helpers(&probe, program, &all),
                _ => None,
            };
            (program, support, helpers)
        });
        Self {
            hindrance: match Tracker::builder().max_entries(64).start() {
                Ok(_) => None,
                Err(err) => Some(err.to_string()),
            },
            programs: programs.collect(),
            maps: MapType::all()
                .map(|map| (map, probe.map_type(map)))
                .collect(),
        }
    }

    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        match &self.hindrance {
            None => writeln!(out, "kamap runs here")?,
            Some(why) => writeln!(out, "kamap does not run here: {}", crate::one_line(why))?,
        }
        writeln!(out, "\nprogram types")?;
        for (program, support, helpers) in &self.programs {
            let count = helpers
                .as_ref()
                .map(|helpers| format!(", {} helpers", helpers.len()));
            writeln!(
                out,
                "  {program:24} {}{}",
                words(support),
                count.unwrap_or_default()
            )?;
        }
        writeln!(out, "\nmap types")?;
        for (map, support) in &self.maps {
            writeln!(out, "  {map:24} {}", words(support))?;
        }
        for (program, _, helpers) in &self.programs {
            if let Some(helpers) = helpers {
                writeln!(out, "\nhelpers of {program}")?;
                for line in textwrap::wrap(&helpers.join(" "), 88) {
                    writeln!(out, "  {line}")?;
                }
            }
        }
        Ok(())
    }

    fn json(&self, out: &mut impl Write) -> io::Result<()> {
        let line = |r#type, name| Line {
            v: VERSION,
            r#type,
            name,
            offered: None,
            reason: None,
            helpers: None,
        };
        let kamap = Line {
            offered: Some(self.hindrance.is_none()),
            reason: self.hindrance.as_deref(),
            ..line("kamap", "kamap".to_owned())
        };
        let programs = self
            .programs
            .iter()
            .map(|(program, support, helpers)| Line {
                offered: offered(support),
                reason: reason(support),
                helpers: helpers.as_deref(),
                ..line("program_type", program.to_string())
            });
        let maps = self.maps.iter().map(|(map, support)| Line {
            offered: offered(support),
            reason: reason(support),
            ..line("map_type", map.to_string())
        });
        for line in std::iter::once(kamap).chain(programs).chain(maps) {
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}

fn helpers(probe: &Probe, program: ProgramType, all: &[Helper]) -> Helpers {
    let mut offered = Vec::new();
    for helper in all {
        match probe.helper(program, helper) {
            Support::Offered => offered.push(helper.name.clone()),
            Support::Absent => {}
            _ => return None,
        }
    }
    (!all.is_empty()).then_some(offered)
}

fn words(support: &Support) -> String {
    match support {
        Support::Offered => "yes".to_owned(),
        Support::Absent => "no".to_owned(),
        Support::Unknown(why) => format!("unknown: {}", crate::one_line(why)),
        _ => "unknown".to_owned(),
    }
}

fn offered(support: &Support) -> Option<bool> {
    match support {
        Support::Offered => Some(true),
        Support::Absent => Some(false),
        _ => None,
    }
}

fn reason(support: &Support) -> Option<&str> {
    match support {
        Support::Unknown(why) => Some(why),
        _ => None,
    }
}

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    r#type: &'static str,
    name: String,
    /// Nothing where it is unknown.
    offered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    helpers: Option<&'a [String]>,
}
