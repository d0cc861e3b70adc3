//! Logs go to stderr, for people: `prog: warn: lower case`. Records never go here, secrets
//! neither, and a stderr that was closed stops nothing.

use std::fmt;
use std::io::Write;

use log::{Level, LevelFilter};

use crate::error::Error;

/// Starts logging. `LOG` (or `RUST_LOG`) names a level, or levels per module; the flags `-v` and
/// `-q` move the default: 0 is info, below it warn, above it debug and trace.
pub fn init(program: &'static str, verbosity: i8) {
    let default = match verbosity {
        i8::MIN..=-1 => LevelFilter::Warn,
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        2..=i8::MAX => LevelFilter::Trace,
    };
    let mut builder = env_logger::Builder::new();
    builder.filter_level(default);
    // These speak for themselves only when something is being looked for.
    if verbosity < 2 {
        builder.filter_module("rdkafka", LevelFilter::Off);
        builder.filter_module("tiny_http", LevelFilter::Warn);
        builder.filter_module("ureq", LevelFilter::Warn);
        builder.filter_module("rustls", LevelFilter::Warn);
    }
    if let Ok(text) = std::env::var("LOG").or_else(|_| std::env::var("RUST_LOG")) {
        builder.parse_filters(&text);
    }
    builder.target(env_logger::Target::Stderr);
    builder.format(move |out, record| {
        let level = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warn: ",
            Level::Info => "",
            Level::Debug => "debug: ",
            Level::Trace => "trace: ",
        };
        writeln!(out, "{program}: {level}{}", record.args())
    });
    // A second call (tests) changes nothing.
    let _ = builder.try_init();
}

/// One line for people on stderr. Unlike `eprintln!` it does not panic when stderr is closed.
pub fn say(program: &str, text: impl fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{program}: {text}");
}

/// `prog: error: …`, and `prog: hint: …` when there is one.
pub fn say_error(program: &str, error: &Error) {
    say(program, format_args!("error: {error}"));
    if let Some(hint) = &error.hint {
        say(program, format_args!("hint: {hint}"));
    }
}
