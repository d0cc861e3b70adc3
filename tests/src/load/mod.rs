//! Clients for measuring the HTTP server: healthy ones in a closed loop, and hostile ones.

pub mod healthy;
pub mod hostile;
