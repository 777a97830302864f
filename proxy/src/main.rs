//! The command `previewpg`.

fn main() -> std::process::ExitCode {
    eprintln!("previewpg: not assembled yet");
    std::process::ExitCode::FAILURE
}
