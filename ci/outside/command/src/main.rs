//! The command, as `kamap-cli` has it.

fn main() -> std::process::ExitCode {
    kamap_cli::main()
}
