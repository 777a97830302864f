//! The configuration: one YAML file.
