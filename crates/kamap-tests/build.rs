//! Builds the one program of the suite that is not Rust.

use std::path::PathBuf;

fn main() {
    let source = "src/tiny.c";
    let out_dir = std::env::var_os("OUT_DIR").expect("cargo sets it");
    let program = PathBuf::from(out_dir).join("tiny");

    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rustc-env=TINY={}", program.display());
    let compiler = cc::Build::new().opt_level(2).get_compiler();
    let status = compiler
        .to_command()
        .args(["-static", "-o"])
        .arg(&program)
        .arg(source)
        .status();
    if !status.as_ref().is_ok_and(|status| status.success()) {
        println!(
            "cargo::error=failed to build {source} (a static C library is needed): {status:?}"
        );
    }
}
