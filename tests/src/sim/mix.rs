//! What may happen, and how often. A history is a walk among the actions, each drawn by weight.

pub use super::mixes::{NAMES, named};

/// One thing that may happen next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Act {
    ApiCreate,
    ApiEdit,
    ApiDelete,
    PersonCreate,
    PersonEdit,
    PersonDelete,
    /// A person copies one customer's metadata to another, with the stamp or without.
    PersonCopy,
    /// A person takes the stamp off.
    PersonUnstamp,
    /// Something else about the customer changes at Stripe, or nothing at all.
    SideEffect,
    Relay,
    RelayCrash,
    /// A relay that stalled wakes up and produces an old record once more.
    StaleRelay,
    Mover,
    Land,
    GiveUp,
    MoverCrash,
    Rebalance,
    Wake,
    Webhook,
    Hook,
    HookCrash,
    /// Another instance of hook-to-catalog gets what this one has in hand.
    HookRebalance,
    Result,
    Repeat,
    Tail,
    Listing,
    Minutes,
    DayGap,
    /// Time goes on to about when a key's period ends or begins, or Stripe forgets the key.
    PeriodEdge,
    /// Somebody puts a dead letter back: an old record comes once more, and says so.
    Redrive,
    BrokerLoss,
    BackUp,
    /// The catalog is restored from the backup.
    Restore,
}

/// How often each thing happens, and how likely each fault is, in a thousand.
#[derive(Clone, Debug)]
pub struct Mix {
    pub name: &'static str,
    pub customers_max: usize,
    pub actions: (usize, usize),
    pub weights: Vec<(u32, Act)>,
    /// A request takes its time: other things happen before it lands and before it is answered.
    pub slow: u32,
    /// A request is lost, its answer is lost, or Stripe stores a 500 for it.
    pub lost: u32,
    pub answer_lost: u32,
    pub stored_error: u32,
    pub webhook_twice: u32,
    pub webhook_dropped: u32,
    /// Results are lost on their way, whole topics of them.
    pub result_lost: u32,
    /// Nobody may read a customer at Stripe.
    pub blind: u32,
    /// Nothing is heard of Stripe: no webhook, no event, no listing.
    pub one_way: bool,
    /// The program stops between two effects of one piece of work.
    pub crash: u32,
    /// Two instances of kafka-to-stripe rather than one.
    pub two: u32,
    /// Records come through a pipe: nothing is read ahead, nothing is fresh.
    pub pipe: u32,
    /// An edit chooses the phone number that Stripe refuses.
    pub refused: u32,
    /// An edit chooses a value that Stripe keeps in another form.
    pub normalised: u32,
    /// An edit chooses a name for which Stripe refuses the whole request.
    pub fatal: u32,
    /// A field belongs to one side.
    pub owned: u32,
    /// Deletions in one direction are not followed.
    pub kept: u32,
    /// Nobody tells a catalog that it was restored.
    pub restored_unsaid: u32,
    /// How many values, fields, and fields in one edit there are.
    pub values: usize,
    pub fields: usize,
    pub fields_at_once: usize,
    /// Several relays may produce old records again: order there is no longer given.
    pub stale_relays: bool,
    /// Nothing unusual happens: writes and reads are counted.
    pub counted: bool,
}
