//! The `diorama` program.

fn main() -> std::process::ExitCode {
    diorama::cli::main()
}
