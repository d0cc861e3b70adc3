//! The command line, and the one loop: read, select, show or put back.

use clap::{ArgAction, Parser, ValueEnum};
use common::cli::{Args, CommonArgs, Context, KafkaArgs, Program};
use common::endpoint::kafka::KafkaOptions;
use common::endpoint::ndjson::NdjsonSink;
use common::endpoint::{Record, Sink as _, Spec};
use common::error::{Error, Exit, Kind, Result};

use crate::input::{Letters, Next, Place};
use crate::letter::Letter;
use crate::redrive::Redrive;
use crate::select::{Selection, parse_offset};

pub const PROGRAM: Program = Program {
    name: "dead-letters",
    from: &["kafka:customer_events.dlq", "kafka:stripe_events.dlq", "kafka:stripe_results.dlq"],
    to: None,
};

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Verb {
    /// One line each: where it lies, its key, why, from where
    #[default]
    List,
    /// The same, and the record; such lines can be kept in a file and put back from there
    Show,
    /// Puts the record back, as it was, on the topic it came from
    Redrive,
}

/// List, show and put back the records that could not be processed
#[derive(Debug, Parser)]
#[command(
    version,
    long_about = "Reads dead letters and lists them, shows them, or puts their records back, as \
                  they were and with their keys, on the topics they came from. What was put back is \
                  remembered, as the committed offsets of the group dead-letters, whatever was \
                  selected, and left out from then on; only --all brings it up again. That memory \
                  lasts as long as the broker keeps a group's offsets: from the last redrive, \
                  offsets.retention.minutes, 7 days by default. A crash may put a record back \
                  twice: no program minds.",
    after_help = "\
Examples:
  dead-letters                                         all that were not put back yet
  dead-letters list | jq -r .error | sort | uniq -c    why
  dead-letters show --key cust_42 | jq .record         one customer's records
  dead-letters redrive --dry-run --error 'not a phone' what would go where
  dead-letters redrive --from kafka:customer_events.dlq --offset 2:17
  dead-letters redrive --from kafka:customer_events.dlq --to - | kafka-to-stripe --from - --to -
  dead-letters redrive --from ./kafka-to-stripe.dlq.ndjson --to kafka:customer_events
  kcat -C -e -q -J -t stripe_events.dlq | dead-letters list --from -

Environment: KAFKA_BOOTSTRAP_SERVERS.
Exit codes: 0 done, 1 some lines were no dead letters, or some records could not be put back,
2 usage, 69 broker unavailable, 78 bad configuration or credentials refused."
)]
pub struct Cli {
    /// What to do with those that are selected
    #[arg(value_enum, default_value_t)]
    verb: Verb,
    /// Where dead letters are: kafka:TOPIC (several times for several), a file, or - (also the
    /// lines of kcat -J)
    #[arg(long, value_name = "kafka:TOPIC|FILE|-", action = ArgAction::Append)]
    from: Vec<Place>,
    /// Only those of this key (a customer's id); several times for several
    #[arg(long, value_name = "KEY", action = ArgAction::Append, help_heading = "Selection")]
    key: Vec<String>,
    /// Only the one that lies there; several times for several. Of a file: the line's number
    #[arg(
        long,
        value_name = "PARTITION:OFFSET",
        action = ArgAction::Append,
        value_parser = parse_offset,
        help_heading = "Selection"
    )]
    offset: Vec<(i32, i64)>,
    /// Only those whose error contains this, in whatever case; several times for several
    #[arg(long, value_name = "TEXT", action = ArgAction::Append, help_heading = "Selection")]
    error: Vec<String>,
    /// Also those that were put back before
    #[arg(long, help_heading = "Selection")]
    all: bool,
    /// redrive: put all there instead; with - the records go to stdout, one a line, and are not
    /// remembered [default: the topic each came from]
    #[arg(long, value_name = "-|kafka:TOPIC")]
    to: Option<Spec>,
    /// redrive: only show what would go where
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Consumer group whose committed offsets say what was put back
    #[arg(long, value_name = "NAME", help_heading = "Kafka")]
    group: String,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    common: CommonArgs,
}

impl Args for Cli {
    fn common(&self) -> &CommonArgs {
        &self.common
    }
}

/// What a run came to.
#[derive(Debug, Default)]
struct Tally {
    bad: u64,
    put_back: u64,
    refused: u64,
}

/// Goes through each source in turn until all are read or the end is asked for.
pub async fn run(cli: Cli, context: Context) -> Result<Exit> {
    if let Err(wrong) = cli.check() {
        common::log::say(PROGRAM.name, format_args!("error: {wrong}"));
        return Ok(Exit::Usage);
    }
    let kafka = cli.kafka.options(PROGRAM.name)?;
    let mut tally = Tally::default();
    for from in &cli.from {
        if context.shutdown.is_requested() {
            break;
        }
        if let Err(error) = cli.go_through(from, &kafka, &context, &mut tally).await {
            // A reader that has enough of a list is no error.
            if error.pipe_closed {
                return Ok(Exit::Done);
            }
            return Err(error);
        }
    }
    if cli.verb == Verb::Redrive && !cli.dry_run && cli.to != Some(Spec::Pipe) {
        log::info!("{} put back", tally.put_back);
    }
    Ok(if tally.bad + tally.refused > 0 { Exit::Failed } else { Exit::Done })
}

impl Cli {
    /// Whether the flags go together.
    fn check(&self) -> std::result::Result<(), String> {
        let wrong = |what: &str, cause: &str| Err(format!("read {what}: {cause}"));
        if self.verb != Verb::Redrive && (self.to.is_some() || self.dry_run) {
            let flag = if self.dry_run { "--dry-run" } else { "--to" };
            return wrong(flag, "it is for redrive only");
        }
        if !self.offset.is_empty() && self.from.len() > 1 {
            return wrong("--offset", "it needs one --from: an offset is a place in one topic");
        }
        if let Some(Spec::Kafka(to)) = &self.to
            && self.from.contains(&Place::Topic(to.clone()))
        {
            return wrong("--to", "that is where they are read");
        }
        Ok(())
    }

    async fn go_through(
        &self,
        from: &Place,
        kafka: &KafkaOptions,
        context: &Context,
        tally: &mut Tally,
    ) -> Result<()> {
        let selection = Selection {
            keys: self.key.clone(),
            offsets: self.offset.clone(),
            errors: self.error.clone(),
            all: self.all,
        };
        let mut letters = Letters::open(from, kafka, &self.group, self.all).await?;
        let mut redrive = Redrive::new(self.to.clone(), kafka.clone());
        let out = NdjsonSink::stdout()?;
        let mut end = Ok(());
        while let Some(next) = context.shutdown.unless(letters.next()).await {
            let letter = match next {
                Ok(Next::Letter(letter)) if selection.holds(&letter) => *letter,
                Ok(Next::Letter(_)) => continue,
                Ok(Next::Bad(why)) => {
                    tally.bad += 1;
                    log::error!("{why}");
                    continue;
                }
                Ok(Next::End) => break,
                Err(error) => {
                    end = Err(error);
                    break;
                }
            };
            end = match (self.verb, self.dry_run) {
                (Verb::Redrive, false) => redrive.put(letter, &mut letters).await,
                (verb, _) => match print(&out, verb, &letter, &redrive).await {
                    Err(error) if error.kind == Kind::Reject => {
                        tally.bad += 1;
                        log::error!("{error}");
                        Ok(())
                    }
                    printed => printed,
                },
            };
            if end.is_err() {
                break;
            }
        }
        let settled = redrive.settle(&mut letters).await;
        tally.put_back += redrive.put_back;
        tally.refused += redrive.refused;
        end.and(settled).and(out.flush().await)
    }
}

async fn print(out: &NdjsonSink, verb: Verb, letter: &Letter, redrive: &Redrive) -> Result<()> {
    let line = match verb {
        Verb::List => letter.in_short(None),
        Verb::Show => letter.whole(),
        Verb::Redrive => letter.in_short(Some(&redrive.target(letter)?.to_string())),
    };
    let operation = || format!("show {}", letter.at);
    let value = line.map_err(|error| Error::reject(operation(), error))?;
    let written = out.enqueue(Record { value, ..Record::default() }).await;
    written.map(|_| ()).map_err(|error| Error { operation: operation(), ..error })
}
