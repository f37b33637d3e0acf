//! The command `kamap`, built with the suite so that it is never an old one.

fn main() -> std::process::ExitCode {
    kamap_cli::main()
}
