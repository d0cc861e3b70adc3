use clap::{FromArgMatches, Parser};

use super::*;
use crate::endpoint::Spec;

#[derive(Debug, Parser)]
#[command(version)]
struct Mover {
    #[command(flatten)]
    from: FromArgs,
    #[command(flatten)]
    to: ToArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    common: CommonArgs,
}

const PROGRAM: Program =
    Program { name: "a-to-b", from: &["kafka:events", "kafka:results"], to: Some("kafka:results") };

fn parse(arguments: &[&str]) -> std::result::Result<Mover, clap::Error> {
    let all = std::iter::once("a-to-b").chain(arguments.iter().copied());
    let mut matches = command::<Mover>(PROGRAM).try_get_matches_from(all)?;
    Mover::from_arg_matches_mut(&mut matches)
}

#[test]
fn each_program_has_its_topics_as_defaults_and_its_name_as_group() {
    let mover = parse(&[]).expect("no flag is needed");
    let specs: Vec<String> = mover.from.from.iter().map(Spec::to_string).collect();
    assert_eq!(specs, ["kafka:events", "kafka:results"]);
    assert_eq!(mover.to.to.to_string(), "kafka:results");
    assert_eq!(mover.from.group, "a-to-b");
    command::<Mover>(PROGRAM).debug_assert();
}

#[test]
fn flags_replace_the_defaults() {
    let mover = parse(&["--from", "-", "--to", "-", "-e", "-X", "linger.ms=0", "-vv"]);
    let mover = mover.expect("flags");
    assert!(mover.from.is_pipe() && mover.from.exit_at_end && mover.from.from.len() == 1);
    assert_eq!(mover.common.verbosity(), 2);
    assert_eq!(mover.kafka.properties[0].0, "linger.ms");
    let options = mover.kafka.options("a-to-b").expect("options");
    assert_eq!((options.partitions, options.replication), (6, -1));
}

#[test]
fn a_wrong_flag_is_named_and_is_wrong_usage() {
    for (arguments, named) in [
        (["--from", "stdin"], "--from"),
        (["--to", "kafka:a b"], "--to"),
        (["-X", "novalue"], "-X"),
        (["--partitions", "0"], "--partitions"),
        (["--metrics", "9090"], "--metrics"),
    ] {
        let error = parse(&arguments).expect_err(named);
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(named), "{error}");
    }
}
