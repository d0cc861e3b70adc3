//! Help, versions, completions, and command lines that cannot be understood.

use crate::Place;

/// Each program and the topics that it uses when nobody says otherwise.
const PROGRAMS: [(&str, &[&str]); 7] = [
    ("catalog-api", &["kafka:customer_events"]),
    ("kafka-to-stripe", &["kafka:customer_events", "kafka:stripe_results"]),
    ("stripe-hook", &["kafka:stripe_events"]),
    ("hook-to-catalog", &["kafka:stripe_events", "kafka:stripe_results"]),
    ("stripe-tail", &["kafka:stripe_events"]),
    ("dead-letters", &["kafka:customer_events.dlq", "kafka:stripe_events.dlq"]),
    ("stripe-sim", &[]),
];

#[test]
fn help_needs_no_setting_and_has_the_defaults_and_examples() {
    for (program, topics) in PROGRAMS {
        let help = Place::bare().run(program, &["--help"], b"");
        let text = help.stdout.join("\n");
        assert_eq!((help.code, help.stderr.len()), (Some(0), 0), "{program}: {}", help.said());
        assert!(text.contains("Examples:"), "{program}: {text}");
        for topic in topics {
            // Lines are broken where they must be.
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let mut defaults = words.split("[default: ").skip(1);
            let is_default = defaults.any(|it| it.split(']').next().unwrap_or("").contains(topic));
            assert!(is_default, "{program} does not name {topic} as a default:\n{text}");
        }
    }
}

#[test]
fn the_version_is_the_programs_name_and_a_number() {
    for (program, _) in PROGRAMS {
        let version = Place::bare().run(program, &["--version"], b"");
        let expected = format!("{program} {}", env!("CARGO_PKG_VERSION"));
        assert_eq!((version.code, version.stdout), (Some(0), vec![expected]));
    }
}

#[test]
fn completions_are_printed_for_each_shell() {
    for (program, _) in PROGRAMS {
        for shell in ["bash", "zsh", "fish"] {
            let printed = Place::bare().run(program, &["--completions", shell], b"");
            assert_eq!(printed.code, Some(0), "{program}: {}", printed.said());
            let text = printed.stdout.join("\n");
            assert!(text.contains(program) && text.contains("help"), "{program} {shell}");
        }
        let none = Place::bare().run(program, &["--completions", "abacus"], b"");
        none.failed(program, 2, &["abacus", "--completions"]);
    }
}

#[test]
fn a_flag_that_is_unknown_is_wrong_usage() {
    for (program, _) in PROGRAMS {
        Place::usual().run(program, &["--frobnicate"], b"").failed(program, 2, &["--frobnicate"]);
    }
}

#[test]
fn a_place_for_records_that_is_none_is_named_with_its_flag() {
    for (program, flag) in [
        ("kafka-to-stripe", "--from"),
        ("kafka-to-stripe", "--to"),
        ("hook-to-catalog", "--from"),
        ("catalog-api", "--to"),
        ("stripe-hook", "--to"),
        ("stripe-tail", "--to"),
    ] {
        for bad in ["customer_events", "kafka:", "kafka:a b", "file:x"] {
            let ended = Place::usual().run(program, &[flag, bad], b"");
            ended.failed(program, 2, &[flag, "kafka:TOPIC"]);
        }
    }
}

#[test]
fn a_pipe_cannot_be_joined_with_a_topic() {
    for program in ["kafka-to-stripe", "hook-to-catalog"] {
        let ended = Place::usual().run(program, &["--from", "-", "--from", "kafka:a"], b"");
        ended.failed(program, 78, &["--from", "cannot be joined", "hint: "]);
    }
}

#[test]
fn dead_letters_never_go_to_stdout() {
    for program in ["kafka-to-stripe", "hook-to-catalog"] {
        let ended = Place::usual().run(program, &["--from", "-", "--dlq", "-"], b"");
        ended.failed(program, 78, &["--dlq"]);
    }
}
