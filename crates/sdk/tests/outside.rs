//! A crate outside the workspace: the README's first program runs as it stands there, and three ways of spoiling it
//! do not compile, for the reason that they should.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use everdure_embedded::Server;

/// A new crate in a directory that goes away with it.
struct Outside(PathBuf);

impl Outside {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("everdure-outside-{}", std::process::id()));
        fs::create_dir_all(path.join("src")).expect("a new directory");
        let sdk = env!("CARGO_MANIFEST_DIR");
        let workspace = Path::new(sdk).ancestors().nth(2).expect("the crate lies in crates/");
        fs::copy(workspace.join("Cargo.lock"), path.join("Cargo.lock")).expect("a copy of the lock file");
        let manifest = format!(
            "[package]\nname = \"outside\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
             [dependencies]\neverdure = {{ path = {sdk:?} }}\ntokio = {{ version = \"1\", features = [\"full\"] }}\n\n\
             [workspace]\n\n[profile.dev]\ndebug = \"line-tables-only\"\n\n[profile.dev.package.\"*\"]\nopt-level = 1\n"
        );
        fs::write(path.join("Cargo.toml"), manifest).expect("written");
        Self(path)
    }

    fn cargo(&self, verb: &str, program: &str, url: &str) -> Output {
        fs::write(self.0.join("src/main.rs"), program).expect("written");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([verb, "--offline", "--quiet"]).current_dir(&self.0);
        cargo.env("CARGO_TARGET_DIR", target).env("EVERDURE_DATABASE_URL", url);
        cargo.output().expect("cargo runs")
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // What is left over lies in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The first Rust block under the heading.
fn program_of_the_readme() -> String {
    let readme = include_str!("../../../README.md");
    let (_, section) = readme.split_once("## A first orchestration").expect("the heading is there");
    let (_, block) = section.split_once("```rust\n").expect("a program follows");
    let (program, _) = block.split_once("```").expect("the block ends");
    program.to_owned()
}

#[test]
fn the_first_program_of_the_readme_runs_and_wrong_ones_do_not_compile() {
    let program = program_of_the_readme();
    assert!(program.lines().count() <= 40, "a first program is short");
    let outside = Outside::new();
    let server = Server::builder().unsafe_fast().start().expect("a private PostgreSQL");
    let ran = outside.cargo("run", &program, &server.url());
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "Hello, Tokyo!\nHello, Seattle!\n");

    let wrong = [
        ("an input of another type", "(&GREET, city)", "(&GREET, 7_u32)", "error[E0308]"),
        ("an output of another type", "greetings = Vec::new()", "greetings: Vec<u32> = Vec::new()", "error[E0308]"),
        ("a function of another handle", ".activity(GREET, greet)", ".activity(GREET, hello)", "error[E0631]"),
    ];
    for (what, right, wrong, error) in wrong {
        assert!(program.contains(right), "the program of the README changed: choose another way for {what}");
        let refused = outside.cargo("check", &program.replace(right, wrong), &server.url());
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && told.contains(error), "{what}: {told}");
    }
}
