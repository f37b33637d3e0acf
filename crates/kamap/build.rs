//! Compiles `bpf/` and generates the skeleton.

use std::path::PathBuf;

fn main() {
    let bpf = PathBuf::from(env("CARGO_MANIFEST_DIR")).join("../../bpf");
    let skeleton = PathBuf::from(env("OUT_DIR")).join("kamap.skel.rs");

    println!("cargo::rerun-if-changed={}", bpf.display());
    let built = libbpf_cargo::SkeletonBuilder::new()
        .source(bpf.join("kamap.bpf.c"))
        // v3: the atomic compare-and-swap (kernel 5.12).
        .clang_args([
            "-mcpu=v3",
            "-Wall",
            "-Wextra",
            "-Wno-unused-parameter",
            "-Werror",
            // The headers of the libbpf that is linked: bpf/bpf_helpers.h.
            &format!("-I{}", env("DEP_BPF_INCLUDE")),
        ])
        .build_and_generate(&skeleton);
    if let Err(err) = built {
        // Cargo shows these, whereas of a panic it shows little that helps.
        for line in format!("{err:#}").lines() {
            println!("cargo::error={line}");
        }
    }
}

fn env(name: &str) -> String {
    std::env::var(name).expect("cargo sets it")
}
