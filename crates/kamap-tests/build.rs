//! Builds the parts of the suite that are not Rust: a program in C, and BPF programs.

use std::path::{Path, PathBuf};

fn main() {
    let out_dir = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    tiny(&out_dir.join("tiny"));
    for name in [
        "congestion",
        "floor",
        "kernel_and_user_map",
        "perf_events",
        "records",
        "who",
    ] {
        skeleton(name, &out_dir);
    }
}

fn tiny(program: &Path) {
    let source = "src/tiny.c";
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rustc-env=TINY={}", program.display());
    let compiler = cc::Build::new().opt_level(2).get_compiler();
    let status = compiler
        .to_command()
        .args(["-static", "-o"])
        .arg(program)
        .arg(source)
        .status();
    if !status.as_ref().is_ok_and(|status| status.success()) {
        println!(
            "cargo::error=failed to build {source} (a static C library is needed): {status:?}"
        );
    }
}

/// Compiles `bpf/NAME.bpf.c` and generates `NAME.skel.rs`.
fn skeleton(name: &str, out_dir: &Path) {
    // Headers with kernel types and libbpf's helpers.
    let headers = "../../bpf";
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-changed={headers}");
    let built = libbpf_cargo::SkeletonBuilder::new()
        .source(format!("bpf/{name}.bpf.c"))
        .clang_args([
            "-mcpu=v3",
            "-Wall",
            "-Wextra",
            "-Wno-unused-parameter",
            "-Werror",
            &format!("-I{headers}"),
        ])
        // Not formatted, because that would need rustfmt.
        .rustfmt("")
        .build_and_generate(out_dir.join(format!("{name}.skel.rs")));
    if let Err(err) = built {
        for line in format!("{err:#}").lines() {
            println!("cargo::error={line}");
        }
    }
}
