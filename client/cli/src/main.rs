//! `v6pod`: everything is in the library.

fn main() -> std::process::ExitCode {
    v6pod::main(std::env::args_os())
}
