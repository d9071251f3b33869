//! Says what an input means and runs it: `cargo run -p wal-fuzz --example replay -- TARGET FILE`.

#![forbid(unsafe_code)]

use std::io::Write;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [name, file] = &arguments[..] else {
        return Err(io::Error::other("name the target and the file"));
    };
    let target = wal_fuzz::TARGETS.iter().find(|(known, _)| known == name);
    let (_, target) = target.ok_or_else(|| io::Error::other("no such target"))?;
    let data = fs::read(file)?;
    writeln!(io::stdout(), "{}", wal_fuzz::describe(name, &data))?;
    target(&data);
    writeln!(io::stdout(), "it holds")
}
