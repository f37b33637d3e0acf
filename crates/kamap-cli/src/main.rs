//! The command `kamap`.

fn main() -> std::process::ExitCode {
    kamap_cli::main()
}
