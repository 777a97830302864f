//! The controller of `PreviewDatabase`: not written yet.
//!
//! It will provision with the proxy crate's own library code and run `previewpg serve` in pods.

fn main() -> std::process::ExitCode {
    eprintln!(
        "previewpg-operator: the controller is not written yet; use `previewpg up` on one machine"
    );
    std::process::ExitCode::FAILURE
}
