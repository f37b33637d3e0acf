//! The arguments of `kamap probe`.

use kamap_bpf::ProgramType;

/// Show what of BPF this kernel offers, and whether kamap can run here, or why not
///
/// Tries each type of program and map, and for each program type the helpers that it can call. Nothing
/// that is tried is kept. To know what is absent, kamap needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN;
/// without them it reports it as unknown.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
JSON:
  One object per line: {\"v\":1,\"type\":\"kamap\"|\"program_type\"|\"map_type\",\"name\":…,\
\"offered\":true|false|null,…}, with a `reason` where it is unknown or kamap does not run, and the \
`helpers` of a program type.")]
pub(crate) struct Args {
    /// Print JSON, one object per line
    #[arg(long)]
    pub(crate) json: bool,

    /// Probe the helpers of these program types only, such as kprobe (separated by commas)
    #[arg(short, long, value_name = "TYPE", value_delimiter = ',', value_parser = program_type)]
    pub(crate) program: Vec<ProgramType>,
}

fn program_type(text: &str) -> Result<ProgramType, String> {
    ProgramType::from_name(text).ok_or_else(|| {
        let names: Vec<_> = ProgramType::all().filter_map(ProgramType::name).collect();
        format!("there is {}", names.join(", "))
    })
}
