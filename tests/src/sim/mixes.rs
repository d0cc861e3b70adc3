//! The mixes, each with what it is about.

use super::mix::{Act, Mix};

pub const NAMES: [&str; 20] = [
    "calm",
    "edits",
    "faults",
    "deletes",
    "born-at-stripe",
    "broker-loss",
    "owned",
    "kept",
    "restored",
    "untold",
    "relays",
    "one-way",
    "unheard",
    "blind",
    "days",
    "periods",
    "refusals",
    "stamps",
    "late",
    "hostile",
];

/// The mix of this name.
pub fn named(name: &str) -> Option<Mix> {
    use Act::{
        ApiCreate, ApiDelete, ApiEdit, BackUp, BrokerLoss, DayGap, GiveUp, Hook, HookCrash,
        HookRebalance, Land, Listing, Minutes, Mover, MoverCrash, PeriodEdge, PersonCopy,
        PersonCreate, PersonDelete, PersonEdit, PersonUnstamp, Rebalance, Redrive, Relay,
        RelayCrash, Repeat, Restore, Result, SideEffect, StaleRelay, Tail, Wake, Webhook,
    };
    let base = vec![
        (10, ApiCreate),
        (50, ApiEdit),
        (80, Relay),
        (130, Mover),
        (60, Land),
        (90, Webhook),
        (90, Hook),
        (60, Result),
        (12, Repeat),
        (8, Minutes),
    ];
    let quiet = Mix {
        name: "calm",
        customers_max: 3,
        actions: (20, 60),
        weights: base.clone(),
        slow: 300,
        lost: 0,
        answer_lost: 0,
        stored_error: 0,
        webhook_twice: 200,
        webhook_dropped: 0,
        result_lost: 0,
        blind: 0,
        one_way: false,
        crash: 0,
        two: 0,
        pipe: 0,
        refused: 0,
        normalised: 0,
        fatal: 0,
        owned: 0,
        kept: 0,
        restored_unsaid: 0,
        values: 4,
        fields: super::FIELDS,
        fields_at_once: 2,
        stale_relays: false,
        counted: true,
    };
    let people = [(40, PersonEdit), (5, SideEffect)];
    let faults = [
        (8, GiveUp),
        (8, MoverCrash),
        (8, Rebalance),
        (8, Wake),
        (6, RelayCrash),
        (6, HookCrash),
        (3, HookRebalance),
        (3, Tail),
        (3, DayGap),
    ];
    let with = |more: &[&[(u32, Act)]]| -> Vec<(u32, Act)> {
        base.iter().copied().chain(more.iter().flat_map(|list| list.iter().copied())).collect()
    };
    let edits = Mix {
        name: "edits",
        weights: with(&[&people, &[(4, Listing)]]),
        refused: 60,
        normalised: 40,
        webhook_dropped: 20,
        counted: false,
        ..quiet.clone()
    };
    let faulty = Mix {
        name: "faults",
        weights: with(&[&people, &faults]),
        lost: 60,
        answer_lost: 60,
        stored_error: 30,
        webhook_dropped: 60,
        crash: 40,
        two: 500,
        pipe: 100,
        ..edits.clone()
    };
    let deleting = [(10, ApiDelete), (8, PersonDelete)];
    let born = [(15, PersonCreate)];
    Some(match name {
        "calm" => quiet,
        "edits" => edits,
        "faults" => faulty,
        "deletes" => Mix {
            name: "deletes",
            weights: with(&[&people, &faults, &deleting, &born[..]]),
            ..faulty
        },
        "born-at-stripe" => Mix {
            name: "born-at-stripe",
            weights: with(&[&people, &faults, &[(4, PersonDelete), (40, PersonCreate)]]),
            ..faulty
        },
        "broker-loss" => Mix {
            name: "broker-loss",
            weights: with(&[
                &people,
                &faults,
                &[(12, BrokerLoss), (3, ApiDelete), (2, PersonDelete), (4, PersonCreate)],
            ]),
            ..faulty
        },
        "owned" => Mix {
            name: "owned",
            weights: with(&[&people, &people[..1], &faults, &born]),
            owned: 600,
            normalised: 100,
            ..faulty
        },
        "kept" => Mix {
            name: "kept",
            weights: with(&[&people, &faults, &deleting, &deleting, &born]),
            kept: 700,
            ..faulty
        },
        "restored" => Mix {
            name: "restored",
            weights: with(&[
                &people,
                &faults,
                &born,
                &[(6, BackUp), (12, Restore)],
                &[(3, ApiDelete)],
            ]),
            restored_unsaid: 500,
            ..faulty
        },
        // Nobody tells it, and its numbers are used twice.
        "untold" => Mix {
            name: "untold",
            customers_max: 2,
            actions: (20, 50),
            weights: with(&[
                &[(30, ApiEdit), (20, ApiDelete), (20, PersonEdit), (40, BackUp), (40, Restore)],
                &[(15, Listing), (40, Result), (4, MoverCrash)],
            ]),
            restored_unsaid: 1000,
            blind: 200,
            ..edits
        },
        // Records come twice and to another instance, but Stripe is well.
        "relays" => Mix {
            name: "relays",
            customers_max: 2,
            actions: (25, 60),
            weights: vec![
                (30, ApiCreate),
                (100, ApiEdit),
                (150, Relay),
                (200, Mover),
                (30, Land),
                (20, Webhook),
                (20, Hook),
                (80, Result),
                (10, PersonEdit),
                (100, RelayCrash),
                (30, Rebalance),
                (80, MoverCrash),
                (5, Repeat),
                (8, Redrive),
            ],
            slow: 50,
            two: 1000,
            crash: 60,
            ..edits
        },
        // The catalog's changes go out, and nothing is heard of Stripe but answers.
        "one-way" => Mix {
            name: "one-way",
            weights: with(&[&faults, &[(12, ApiDelete)]]),
            one_way: true,
            normalised: 0,
            ..faulty
        },
        // Results are lost: what has landed is known from events only.
        "unheard" => {
            Mix { name: "unheard", weights: with(&[&people, &faults]), result_lost: 700, ..faulty }
        }
        // hook-to-catalog has no key that reads.
        "blind" => Mix {
            name: "blind",
            weights: with(&[
                &people,
                &faults,
                &[(6, Listing), (6, PersonUnstamp), (3, ApiDelete), (2, PersonDelete)],
            ]),
            blind: 1000,
            ..faulty
        },
        // Creates whose answers stay away for days.
        "days" => Mix {
            name: "days",
            customers_max: 2,
            actions: (10, 40),
            weights: with(&[
                &faults,
                &[(40, DayGap), (20, GiveUp), (10, MoverCrash), (20, Minutes), (20, Repeat)],
                &[(4, ApiDelete)],
            ]),
            slow: 600,
            lost: 200,
            answer_lost: 200,
            stored_error: 100,
            ..faulty
        },
        // Creates at the edges of their keys' periods.
        "periods" => Mix {
            name: "periods",
            customers_max: 1,
            actions: (12, 40),
            weights: vec![
                (20, ApiCreate),
                (4, ApiEdit),
                (60, Relay),
                (130, Mover),
                (60, Land),
                (20, Repeat),
                (40, PeriodEdge),
                (20, Minutes),
                (20, GiveUp),
                (30, MoverCrash),
                (30, Rebalance),
                (10, Wake),
            ],
            slow: 700,
            lost: 150,
            answer_lost: 150,
            stored_error: 250,
            two: 1000,
            pipe: 0,
            ..faulty
        },
        "refusals" => Mix {
            name: "refusals",
            customers_max: 1,
            weights: with(&[&people, &faults, &[(20, PersonEdit), (10, Listing)]]),
            refused: 500,
            fatal: 30,
            ..faulty
        },
        // People take the stamp off and copy it, and write on; listings.
        "stamps" => Mix {
            name: "stamps",
            customers_max: 2,
            weights: with(&[
                &people,
                &born[..],
                &born[..],
                &[
                    (25, PersonUnstamp),
                    (50, PersonCopy),
                    (10, Listing),
                    (6, GiveUp),
                    (6, Rebalance),
                ],
            ]),
            two: 500,
            ..edits
        },
        // Requests land late where the stamp was taken off.
        "late" => Mix {
            name: "late",
            customers_max: 1,
            weights: with(&[
                &people[..1],
                &[(30, GiveUp), (30, Rebalance), (25, PersonUnstamp), (10, Listing), (8, Wake)],
                &[(30, Land), (20, ApiEdit)],
            ]),
            slow: 700,
            two: 1000,
            ..edits
        },
        "hostile" => Mix {
            name: "hostile",
            weights: with(&[
                &people,
                &faults,
                &faults,
                &deleting,
                &born,
                &[(6, PersonCopy), (4, PersonUnstamp), (4, StaleRelay), (3, BrokerLoss)],
                &[(4, Listing), (2, BackUp), (3, Restore)],
            ]),
            owned: 100,
            kept: 100,
            restored_unsaid: 200,
            lost: 100,
            answer_lost: 100,
            stored_error: 60,
            webhook_dropped: 150,
            crash: 80,
            stale_relays: true,
            ..faulty
        },
        _ => return None,
    })
}
