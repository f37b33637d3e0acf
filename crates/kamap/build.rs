//! Compiles `bpf/` and generates the skeleton.

use std::env;
use std::path::{Path, PathBuf};

/// The skeleton without the programs, which `ci/package` adds to the package.
const FOR_DOCS: &str = "docs-rs.skel.rs";

fn main() {
    let skeleton = PathBuf::from(var("OUT_DIR")).join("kamap.skel.rs");

    // docs.rs may have no clang, and runs nothing.
    println!("cargo::rerun-if-env-changed=DOCS_RS");
    if env::var_os("DOCS_RS").is_some() && Path::new(FOR_DOCS).exists() {
        println!("cargo::rerun-if-changed={FOR_DOCS}");
        std::fs::copy(FOR_DOCS, skeleton).expect("both are files");
        return;
    }

    // In the repository a link to the folder at the top, in a package a folder.
    let bpf = PathBuf::from(var("CARGO_MANIFEST_DIR")).join("bpf");
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
            &format!("-I{}", var("DEP_BPF_INCLUDE")),
        ])
        // There is no such program, so the skeleton is not formatted. By default it is if a
        // `rustfmt` is found, but rustup has one that fails where the component is missing.
        .rustfmt("")
        .build_and_generate(&skeleton);
    if let Err(err) = built {
        // Cargo shows these, whereas of a panic it shows little that helps.
        for line in format!("{err:#}").lines() {
            println!("cargo::error={line}");
        }
    }
}

fn var(name: &str) -> String {
    env::var(name).expect("cargo sets it")
}
