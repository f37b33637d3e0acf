//! The command `kamap`, built together with the tests so that it is never out of date.

fn main() -> std::process::ExitCode {
    kamap_cli::main()
}
