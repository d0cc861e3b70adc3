//! The rules by name, so that each can be broken alone: [`crate::in_force`] says that all of them
//! hold, and the simulator's copy of these files has a switch there. What is broken is written
//! beside each; the reasons are in docs/SYNC.md.

macro_rules! rules {
    ($($name:ident: $broken:literal,)+) => {
        /// A rule of the sync.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Rule {
            $(#[doc = concat!("Broken: ", $broken, ".")] $name,)+
        }

        impl Rule {
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// What is done when it is broken.
            pub const fn broken(self) -> &'static str {
                match self {
                    $(Self::$name => $broken,)+
                }
            }
        }
    };
}

rules! {
    // A write by the API.
    OnlyWhatChanged: "a write owns every field, changed or not",
    StripeOwned: "the API changes fields that belong to Stripe",
    // Announcing.
    Cumulative: "an event carries only what its own version changed",
    FirstFrozen: "the create's body follows later edits",
    MaybeBefore: "a record published twice does not say so",
    Repeat: "what stays pending is not announced again",
    NotAfterFailed: "what failed is announced again and again",
    // What the programs do with topics, transactions and leases.
    HighestVersion: "of the records that wait, the last counts, not the highest version",
    ReadAhead: "records are acted on before the partition was read to its end",
    LowestUnfinished: "the offset of the newest finished record is stored",
    Lease: "an instance that stalled goes on sending when it wakes",
    Inbox: "an event that was applied is applied again",
    InboxWithEffects: "the inbox row is committed before the effects",
    FailedLookIsNoAnswer: "a look-up that failed is taken for absence",
    LookKnowsOurOwn: "a look-up finds copies that people made of our metadata",
    // Outbound.
    StampWithEveryUpdate: "an update leaves the stamp as it is",
    LinkWithEveryUpdate: "an update leaves the link as it is",
    ReadIfNotFresh: "no GET for a record from before the assignment",
    ReadIfAgain: "no GET for a record announced again",
    ReadIfOld: "no GET for a record older than 12 h",
    ReadIfMoreIsPending: "no GET though older changes are pending too",
    ReadAfterAttempt: "no GET after a key was used up",
    UnansweredIsUnknown: "a request without an answer is taken for one that was not made",
    ReplayTellsId: "a replayed answer is taken for what Stripe has now",
    OnlyAboveStamp: "fields go out that Stripe has already",
    StampThoughAllRefused: "no stamp goes out when every field was refused",
    RestWithoutRefused: "a refused field makes the whole write fail",
    CorrectionIsTried: "a first value that was refused holds back its correction",
    KeyNamesFields: "the key does not tell which fields the request names",
    AttemptRises: "a key that is used up is used again",
    KeyOfItsPeriod: "the keys of one period are those of the next",
    NothingBetweenPeriods: "creates go out until the key is forgotten",
    LookInLaterPeriods: "a create is sent in a later period without a look-up",
    LookAfterStoredError: "a create is sent after a stored 500 without a look-up",
    LookCountsFromAsking: "a look-up's answer counts from when it came",
    FoundGoneCounts: "a customer found deleted counts as absent",
    DeleteLooks: "a deletion without a link is done",
    GoneIsDone: "a deletion of what is gone fails",
    // Inbound.
    NamedOnlyIfStamped: "a catalog_id without a stamp makes the link",
    LostAreBornAgain: "a customer that the catalog lost is a duplicate",
    CopiedStamp: "another customer's stamp is taken for ours",
    CopiedLink: "a customer with another's catalog_id is taken as it is",
    DeletedThere: "a deleted customer is taken for a live one",
    GoneStays: "a snapshot from before its deletion is taken in",
    DeletedHereStays: "a snapshot of a customer deleted here is taken in",
    AliveThoughDeleted: "a customer that turns up after its deletion stays",
    KeepHere: "a deletion at Stripe deletes here though it is to be kept",
    KeepAtStripe: "a deletion here deletes at Stripe though it is to be kept",
    RestoredByStamp: "a stamp above the customer's version is nothing special",
    RestoredByResult: "a result above the customer's version is nothing special",
    RestoredKeepsOwed: "what a restored catalog owes keeps its version",
    LateWrite: "a stamp that went back is nothing special",
    LateWriteStamp: "after a late write only the fields are sent again",
    FoundLow: "a GET that finds an old stamp is stale",
    UnstampedIsInDoubt: "a customer without a stamp is taken as it is",
    StampPutBack: "a stamp taken off stays off",
    StaleByStamp: "a snapshot with an older stamp counts",
    StaleByTime: "an older snapshot with the same stamp counts",
    SameTimeIsInDoubt: "two snapshots of the same seconds go in the order they come",
    NothingObserved: "a GET's answer counts whatever came in meanwhile",
    ListingHasNoTime: "what a listing showed has the time of the snapshot before",
    OwnAbove: "theirs is taken though ours is still on its way",
    TakenIsTheirs: "a field that was taken is still ours",
    FormIsStillOurs: "what Stripe made of our value is a person's edit",
    NoEcho: "what was taken from Stripe is sent to Stripe",
    Shadow: "what was seen is forgotten",
    AckedBySnapshot: "a stamp that was seen is no acknowledgement",
    RefusedStays: "a refused field takes what Stripe has",
    RefusedOnlyForeign: "a refused field takes what any event shows",
    RefusedUnderStamp: "a refused field takes an edit from before our try",
    RefusedEditToldLate: "an edit of a refused field is passed over if a newer snapshot came first",
    StampNamesRefused: "the stamp's refused fields are passed over",
    CatalogOwned: "an edit at Stripe of a field of the catalog's is taken",
    KeptOtherwise: "a field of the catalog's that Stripe keeps in another form is sent again",
    ConflictOfPending: "no conflict when ours will land on a person's edit",
    ConflictOfStale: "no conflict when ours had landed before the edit was seen",
    ConflictOfUndone: "no conflict when an edit is undone",
    // Results.
    LinkByResult: "a result sets no link",
    AckedByResult: "a result is no acknowledgement",
    RefusedIfNotNewer: "a refusal of an old value refuses a newer one",
    DeletionStaysOwed: "the result of an edit acknowledges a deletion",
    FoundNothingStaysOwed: "a deletion that found nothing is done though the customer turned up",
}
