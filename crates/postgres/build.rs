//! The directory of SQL files is read while compiling; without this, a new file would go unnoticed.

fn main() {
    println!("cargo::rerun-if-changed=sql");
}
