//! The binary: its command line, turned into calls of the library.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    margay::cli::main()
}
